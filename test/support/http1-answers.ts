/**
 * A plain reader of HTTP/1.1 answers for tests: deliberately not the project's own, so that the two can disagree.
 */
export interface SeenAnswer {
  readonly status: number;
  readonly reason: string;
  /** Field lines as they came. */
  readonly fields: readonly string[];
  readonly body: string;
  /** False when the bytes ended first. */
  readonly complete: boolean;
}

/** `methods[i]` asked for answer i; missing ones are GET. Interim answers are listed like the others. */
export function readAnswers(bytes: Buffer, methods: readonly string[] = []): SeenAnswer[] {
  const answers: SeenAnswer[] = [];
  let rest = bytes.toString('latin1');
  let asked = 0;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    const [line = '', ...fields] = (end < 0 ? rest : rest.slice(0, end)).split('\r\n');
    const [, status = '0', reason = ''] = /^HTTP\/1\.1 (\d{3}) ?(.*)$/.exec(line) ?? [];
    const after = end < 0 ? '' : rest.slice(end + 4);
    const interim = status.startsWith('1');
    const method = methods[asked] ?? 'GET';
    const content =
      end < 0
        ? { body: '', used: 0, complete: false }
        : readBody(after, fields, method === 'HEAD' || interim || status === '204' || status === '304');
    if (!interim) asked += 1;
    answers.push({ status: Number(status), reason, fields, body: content.body, complete: content.complete });
    if (status === '101' || (status === '200' && method === 'CONNECT')) break;
    rest = after.slice(content.used);
  }
  return answers;
}

interface ReadBody {
  readonly body: string;
  readonly used: number;
  readonly complete: boolean;
}

function readBody(text: string, fields: readonly string[], headOnly: boolean): ReadBody {
  if (headOnly) return { body: '', used: 0, complete: true };
  const value = (name: string) =>
    fields
      .find(field => field.toLowerCase().startsWith(`${name}:`))
      ?.slice(name.length + 1)
      .trim();
  if (value('transfer-encoding') === 'chunked') return readChunks(text);
  const length = value('content-length');
  if (length === undefined) return { body: text, used: text.length, complete: true };
  const bytes = Number(length);
  return { body: text.slice(0, bytes), used: bytes, complete: text.length >= bytes };
}

function readChunks(text: string): ReadBody {
  let body = '';
  let at = 0;
  for (;;) {
    const lineEnd = text.indexOf('\r\n', at);
    if (lineEnd < 0) return { body, used: text.length, complete: false };
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    at = lineEnd + 2;
    if (size === 0) {
      const end = text.indexOf('\r\n\r\n', lineEnd);
      return end < 0 ? { body, used: text.length, complete: false } : { body, used: end + 4, complete: true };
    }
    body += text.slice(at, at + size);
    at += size + 2;
    if (at > text.length) return { body, used: text.length, complete: false };
  }
}

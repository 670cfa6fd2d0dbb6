/** Reads what a client got back: HTTP/1 answers, one after the other (RFC 9112 §6.3). Pure, and no stricter than needed. */

export interface Answer {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
  /** All of the announced body was there. */
  readonly complete: boolean;
}

export interface Answers {
  /** Final answers; interim ones (1xx but 101) are in `interim`. */
  readonly answers: readonly Answer[];
  readonly statuses: readonly number[];
  readonly interim: readonly number[];
  readonly bytes: Buffer;
  /** The peer closed before the time was up. */
  readonly closed: boolean;
}

export function readAnswers(bytes: Buffer): Answers {
  const answers: Answer[] = [];
  const interim: number[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const headEnd = bytes.indexOf('\r\n\r\n', offset);
    const statusLine = /^HTTP\/1\.[01] (\d{3})/.exec(bytes.toString('latin1', offset, offset + 20));
    if (headEnd < 0 || statusLine === null) break;
    const status = Number(statusLine[1]);
    const headers = fields(bytes.toString('latin1', offset, headEnd));
    offset = headEnd + 4;
    if (status < 200 && status !== 101) {
      interim.push(status);
      continue;
    }
    const { body, next, complete } = content(bytes, offset, status, headers);
    answers.push({ status, headers, body, complete });
    offset = next;
  }
  return { answers, statuses: answers.map(answer => answer.status), interim, bytes, closed: false };
}

function fields(head: string): [string, string][] {
  return head
    .split('\r\n')
    .slice(1)
    .map(line => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    });
}

interface Content {
  readonly body: Buffer;
  readonly next: number;
  readonly complete: boolean;
}

function content(bytes: Buffer, from: number, status: number, headers: [string, string][]): Content {
  const value = (name: string): string | undefined =>
    headers.find(([field]) => field.toLowerCase() === name)?.[1];
  // Right after the head stands the next answer: this one was for HEAD, whatever it announces.
  const isNext = bytes.toString('latin1', from, from + 7) === 'HTTP/1.';
  if (status === 204 || status === 304 || isNext)
    return { body: Buffer.alloc(0), next: from, complete: true };
  if (value('transfer-encoding')?.toLowerCase() === 'chunked') return chunked(bytes, from);
  const length = value('content-length');
  const end = length === undefined || status === 101 ? bytes.length : from + Number(length);
  return {
    body: bytes.subarray(from, end),
    next: Math.min(end, bytes.length),
    complete: end <= bytes.length,
  };
}

function chunked(bytes: Buffer, from: number): Content {
  const parts: Buffer[] = [];
  let offset = from;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', offset);
    const size = Number.parseInt(bytes.toString('latin1', offset, lineEnd), 16);
    if (lineEnd < 0 || Number.isNaN(size)) break;
    if (size === 0) {
      const end = bytes.indexOf('\r\n\r\n', lineEnd);
      if (end < 0) break;
      return { body: Buffer.concat(parts), next: end + 4, complete: true };
    }
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    offset = lineEnd + 2 + size + 2;
  }
  return { body: Buffer.concat(parts), next: bytes.length, complete: false };
}

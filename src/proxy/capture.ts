/**
 * Contents on record (`capture: { bodies }`): the beginning of what the sandbox sent, placeholders in place, and of what
 * it was answered, without any value of any secret.
 *
 * Only where the policy asks for it; what passes is never changed or held back for it. A content that is coded is
 * undone before it is looked at, since a value inside a coding would be on record all the same; what cannot be undone
 * is not recorded. Bytes that may be the beginning of a value where the record ends are left out.
 */
import { Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { HeaderList } from '../core/headers.js';
import { firstHeader, headerValues } from '../core/headers.js';
import type { BodyEvent } from '../events/event.js';
import { decoderOf, parseCodings, sniffCoding } from '../secrets/inflate.js';
import { redactorFor } from '../secrets/redact.js';
import type { SandboxSecrets } from '../secrets/store.js';
import type { Gate } from './context.js';
import type { Answer, Body, Outgoing, Request } from './exchange.js';

type Side = BodyEvent['side'];

/** What a record says beside the request that it belongs to. */
export type CapturedBody = Omit<BodyEvent, 'flow' | 'request'>;

/** Null: the policy asks for none. */
export function captureFor({ policy, secrets }: Gate): Capture | null {
  const bytes = policy?.captureBytes ?? null;
  return bytes === null ? null : new Capture(bytes, secrets);
}

export class Capture {
  readonly #limit: number;
  readonly #secrets: SandboxSecrets;
  readonly #seen: Seen[] = [];

  /** `limit`: bytes of each content. */
  constructor(limit: number, secrets: SandboxSecrets) {
    this.#limit = limit;
    this.#secrets = secrets;
  }

  /** The request, to be read in the place of the one that is given. */
  ofRequest(request: Request): Request {
    return { ...request, body: this.#watch('request', request.head.headers, request) };
  }

  /** The answer, to be sent in the place of the one that is given. */
  ofAnswer(answer: Answer): Answer {
    return { ...answer, body: this.#watch('response', answer.head.headers, answer) };
  }

  /** Tells, once, what was seen, the request first. Never rejects; of what cannot be shown, the size alone is told. */
  async tell(record: Record): Promise<void> {
    for (const seen of this.#seen.splice(0)) {
      if (seen.size > 0) record.captured(await this.#describe(seen));
    }
  }

  #watch(side: Side, headers: HeaderList, { body }: Outgoing): Body {
    const seen: Seen = { side, headers, pieces: [], kept: 0, size: 0 };
    this.#seen.push(seen);
    if (body instanceof Uint8Array) {
      keep(seen, body, this.#limit);
      return body;
    }
    const tap = new Tap(seen, this.#limit);
    // A failure destroys the tap, and its reader sees that.
    pipeline(body, tap).catch(() => undefined);
    return tap;
  }

  async #describe({ side, headers, pieces, size, kept }: Seen): Promise<CapturedBody> {
    const mime_type = firstHeader(headers, 'content-type') ?? '';
    const codings = parseCodings(headerValues(headers, 'content-encoding').join(','));
    const undone =
      codings === null
        ? null
        : await withoutCodings({ bytes: Buffer.concat(pieces), whole: kept === size }, codings, this.#limit);
    if (undone === null) return { side, mime_type, size, encoding: 'text', text: '', truncated: true };
    const clean = this.#redacted(undone);
    const bytes = clean.subarray(0, this.#limit);
    const truncated = !undone.whole || bytes.length < clean.length;
    return { side, mime_type, size, ...textOf(bytes, truncated), truncated };
  }

  #redacted({ bytes, whole }: Part): Uint8Array {
    const redactor = redactorFor(this.#secrets, [...this.#secrets.entries.keys()]);
    if (redactor === null) return bytes;
    const clean = redactor.push(bytes);
    // What is held may be the beginning of a value, whose rest was not seen.
    return whole ? Buffer.concat([clean, redactor.end()]) : clean;
  }
}

/** Who puts it on record. */
interface Record {
  captured(body: CapturedBody): void;
}

/** What passed of one content. */
interface Seen {
  readonly side: Side;
  readonly headers: HeaderList;
  readonly pieces: Uint8Array[];
  kept: number;
  size: number;
}

function keep(seen: Seen, chunk: Uint8Array, limit: number): void {
  seen.size += chunk.length;
  const room = limit - seen.kept;
  if (room <= 0) return;
  const piece = chunk.length > room ? chunk.subarray(0, room) : chunk;
  seen.pieces.push(piece);
  seen.kept += piece.length;
}

class Tap extends Transform {
  readonly #seen: Seen;
  readonly #limit: number;

  constructor(seen: Seen, limit: number) {
    super({ readableHighWaterMark: 65_536, writableHighWaterMark: 65_536 });
    this.#seen = seen;
    this.#limit = limit;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    keep(this.#seen, chunk, this.#limit);
    done(null, chunk);
  }
}

interface Part {
  readonly bytes: Uint8Array;
  /** It is the content from beginning to end. */
  readonly whole: boolean;
}

/** The content under its codings, at most `limit` bytes of each; null: it is not what it was said to be. */
async function withoutCodings(
  coded: Part,
  codings: NonNullable<ReturnType<typeof parseCodings>>,
  limit: number,
): Promise<Part | null> {
  if (codings.length > MAX_CODINGS) return null;
  let part: Part | null = coded;
  for (const coding of codings.toReversed()) {
    if (part === null || part.bytes.length === 0) return part;
    // As `undone.ts` has it: what does not begin as its coding does is not coded.
    const signed = coding === 'gzip' || coding === 'zstd';
    if (signed && sniffCoding(part.bytes) !== coding) continue;
    part = await decoded(part, decoderOf(coding, part.bytes[0] ?? 0, { mayBeCutShort: true }), limit);
  }
  return part;
}

/** As many as are undone for redaction (`response.ts`). */
const MAX_CODINGS = 3;

async function decoded(
  { bytes, whole }: Part,
  decoder: ReturnType<typeof decoderOf>,
  limit: number,
): Promise<Part | null> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  decoder.end(bytes);
  try {
    for await (const piece of decoder as AsyncIterable<Uint8Array>) {
      pieces.push(piece);
      length += piece.length;
      if (length > limit) return { bytes: Buffer.concat(pieces).subarray(0, limit), whole: false };
    }
    return { bytes: Buffer.concat(pieces), whole };
  } catch {
    // Not what Content-Encoding says: nobody can say what it holds.
    return null;
  } finally {
    decoder.destroy();
  }
}

/** Text where it is UTF-8, the last character left out where it was cut; else base64. */
function textOf(bytes: Uint8Array, truncated: boolean): Pick<BodyEvent, 'encoding' | 'text'> {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, {
      stream: truncated,
    });
    return { encoding: 'text', text };
  } catch {
    // No text.
    return { encoding: 'base64', text: Buffer.from(bytes).toString('base64') };
  }
}

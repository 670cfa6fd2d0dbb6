/**
 * The way back: what an upstream said, without what would lead the sandbox around the gateway, and, where a secret
 * went out, without its value.
 */
import { Readable, Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GatewayError } from '../core/errors.js';
import {
  FieldNames,
  type HeaderList,
  headerValues,
  isRepeated,
  noteRepeated,
  withoutHeaders,
} from '../core/headers.js';
import { parseCodings } from '../secrets/inflate.js';
import { type Redactor, redactFields, redactorFor, redactWhole, redactWire } from '../secrets/redact.js';
import type { SandboxSecrets } from '../secrets/store.js';
import type { Watch } from '../secrets/watch.js';
import type { Answer, Body, Exchange, Framing } from './exchange.js';
import { undone } from './undone.js';

/** HTTP/3 would go past the gateway (RFC 7838); the door drops its packets too. */
const LEADS_AWAY = new FieldNames(['alt-svc']);

/** Fields that would make an answer which cannot be searched: a coded one, or a part of one. */
const HINDERS_REDACTION = new FieldNames(['accept-encoding', 'range', 'if-range', 'a-im']);
const CONTENT_ENCODING = new FieldNames(['content-encoding']);
/** Codings upon codings that are undone. */
const MAX_CODINGS = 3;
/** What would no longer be true of a redacted content, and might tell something of the value (RFC 9530, RFC 9110 §14.4). */
const OF_THE_ORIGINAL = new FieldNames([
  'content-md5',
  'digest',
  'content-digest',
  'repr-digest',
  'content-range',
]);

/** By lists that come again and again. A list that holds a value goes with the view of the secrets that it is kept in. */
const plainly = new WeakMap<HeaderList, HeaderList>();

/** The request's fields when its answer is to be redacted: the content is asked for whole and uncoded. */
export function askForPlain(headers: HeaderList): HeaderList {
  const known = plainly.get(headers);
  if (known !== undefined) return known;
  const plain: HeaderList = [...withoutHeaders(headers, HINDERS_REDACTION), ['Accept-Encoding', 'identity']];
  if (isRepeated(headers)) {
    noteRepeated(plain);
    plainly.set(headers, plain);
  }
  return plain;
}

/** By lists that come again and again: what was looked for in them in vain. */
const harmless = new WeakMap<HeaderList, Watch>();

/** The answer as the sandbox may have it. `redact`: names of the secrets that it could hold. */
export function answerFor(
  answer: Answer,
  method: string,
  secrets: SandboxSecrets,
  redact: readonly string[],
): Answer {
  const { head } = answer;
  const watch = redact.length === 0 ? null : secrets.valuesOf(redact);
  const isKnown = watch !== null && harmless.get(head.headers) === watch;
  const cleaned = isKnown ? head.headers : withoutHeaders(head.headers, LEADS_AWAY);
  if (watch === null || watch.empty) {
    return cleaned === head.headers ? answer : { ...answer, head: { ...head, headers: cleaned } };
  }
  const searched = isKnown ? head.headers : withoutHeaders(cleaned, OF_THE_ORIGINAL);
  const content = redactContent(answer, searched, method, { secrets, redact });
  const headers =
    isKnown && content.headers === searched ? searched : redactFields(secrets, redact, content.headers);
  if (!isKnown && headers === head.headers && isRepeated(headers)) harmless.set(headers, watch);
  return {
    // Field by field: to spread it costs as much as to search it.
    head: {
      status: head.status,
      reason: redactWire(secrets, redact, head.reason),
      headers,
      framing: content.framing,
      version: head.version,
    },
    body: content.body,
    trailers: () => redactFields(secrets, redact, withoutHeaders(answer.trailers(), OF_THE_ORIGINAL)),
  };
}

/** What tells the sandbox of an interim answer (1xx), redacted as the answer itself. */
export function informer(
  exchange: Pick<Exchange, 'inform'>,
  secrets: SandboxSecrets,
  redact: readonly string[],
): Exchange['inform'] {
  if (redact.length === 0) return exchange.inform.bind(exchange);
  return (status, headers) => exchange.inform(status, redactFields(secrets, redact, headers));
}

/**
 * Holds the answer to `limits.max_response_body_bytes`. Throws LIMIT_EXCEEDED where its length is told beforehand; else
 * the sandbox sees a truncation.
 */
export function limitContent(answer: Answer, maxBytes: number | null): Answer {
  if (maxBytes === null) return answer;
  const { framing } = answer.head;
  const told =
    answer.body instanceof Uint8Array ? answer.body.length : framing.kind === 'length' ? framing.bytes : 0;
  const tooLong = (): GatewayError =>
    new GatewayError(
      'LIMIT_EXCEEDED',
      `the answer is longer than limits.max_response_body_bytes (${maxBytes})`,
    );
  if (told > maxBytes) {
    if (!(answer.body instanceof Uint8Array)) answer.body.destroy();
    throw tooLong();
  }
  if (answer.body instanceof Uint8Array) return answer;
  let seen = 0;
  const gauge = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      seen += chunk.length;
      if (seen > maxBytes) done(tooLong());
      else done(null, chunk);
    },
  });
  return { ...answer, body: piped(answer.body, gauge) };
}

interface Content {
  readonly headers: HeaderList;
  readonly framing: Framing;
  readonly body: Body;
}

/** What an answer is redacted of. */
interface Redacted {
  readonly secrets: SandboxSecrets;
  readonly redact: readonly string[];
}

function redactContent(
  { head, body }: Answer,
  headers: HeaderList,
  method: string,
  { secrets, redact }: Redacted,
): Content {
  const { framing } = head;
  if (method === 'HEAD' || head.status === 304) return { headers, framing, body };
  if (body instanceof Uint8Array && body.length === 0) return { headers, framing, body };
  const codings = parseCodings(headerValues(headers, 'content-encoding').join(','));
  if (codings === null || codings.length > MAX_CODINGS) throw unsearchable();
  if (codings.length === 0 && body instanceof Uint8Array) {
    const redacted = redactWhole(secrets, redact, body);
    const length: Framing = framing.kind === 'length' ? { kind: 'length', bytes: redacted.length } : framing;
    return { headers, framing: length, body: redacted };
  }
  // Coded although we asked for identity: what is searched goes on as it was searched.
  const redactor = redactorFor(secrets, redact);
  const plain = body instanceof Uint8Array ? Readable.from([body]) : body;
  const decoded = codings.reduceRight<Readable>(undone, plain);
  return {
    headers: codings.length === 0 ? headers : withoutHeaders(headers, CONTENT_ENCODING),
    framing: openFraming(framing),
    body: redactor === null ? decoded : piped(decoded, new Redaction(redactor)),
  };
}

/** A placeholder has another length than its value. */
function openFraming(framing: Framing): Framing {
  return framing.kind === 'length' ? { kind: 'chunked' } : framing;
}

function unsearchable(): GatewayError {
  const what = 'the answer is coded in a way that cannot be searched for a secret';
  return new GatewayError('UPSTREAM_PROTOCOL', what);
}

function piped<T extends Transform>(from: NodeJS.ReadableStream, to: T): T {
  // A failure destroys `to`, and its reader sees that.
  pipeline(from, to).catch(() => undefined);
  return to;
}

class Redaction extends Transform {
  readonly #redactor: Redactor;

  constructor(redactor: Redactor) {
    super({ readableHighWaterMark: 262_144, writableHighWaterMark: 262_144 });
    this.#redactor = redactor;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const bytes = this.#redactor.push(chunk);
    done(null, bytes.length > 0 ? bytes : undefined);
  }

  override _flush(done: TransformCallback): void {
    const rest = this.#redactor.end();
    done(null, rest.length > 0 ? rest : undefined);
  }
}

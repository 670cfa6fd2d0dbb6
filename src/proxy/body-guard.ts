/**
 * The content of a request on its way out: watched for what may not leave, and filled in where a value belongs. Bytes
 * that may be the beginning of a match are held back, so that a leak is never sent whole.
 */
import { Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GatewayError } from '../core/errors.js';
import type { HeaderList } from '../core/headers.js';
import { type ContentGuard, guardContent, mayLeak } from '../secrets/content.js';
import { foreignIn } from '../secrets/foreign.js';
import { type Leak, type Scope, scanText } from '../secrets/scan.js';
import type { SandboxSecrets } from '../secrets/store.js';
import type { Departing } from '../secrets/substitute.js';
import { NO_WATCH } from '../secrets/watch.js';
import type { Body, Framing, Request } from './exchange.js';

/**
 * A content that says it is short is read to its end before anything is sent, so that a leak in it costs the upstream
 * not a byte, and its new length is known.
 */
const WHOLE_BYTES = 262_144;
/** Of a longer content, or one that may be waiting for answers, only so much is read first. */
const FORESIGHT_BYTES = 65_536;
const FORESIGHT_MS = 50;

export interface Guarded {
  readonly body: Body;
  readonly framing: Framing;
  /** What was found so far. */
  readonly leak: () => Leak | null;
}

const noLeak = (): null => null;

/** A promise resolves when the head may leave; without content it may at once. */
export function guardBody(
  request: Request,
  secrets: SandboxSecrets,
  departing: Departing,
): Guarded | Promise<Guarded> {
  const { head, body } = request;
  const isEmpty = body instanceof Uint8Array && body.length === 0;
  const guard = isEmpty ? null : guardContent(secrets, departing, departing.headers);
  if (guard === null) return { body, framing: head.framing, leak: noLeak };
  return guardedBy(guard, request, secrets, departing);
}

async function guardedBy(
  guard: ContentGuard,
  request: Request,
  secrets: SandboxSecrets,
  departing: Departing,
): Promise<Guarded> {
  const { head, body } = request;
  const trailerLeak = (): Leak | null => scanTrailers(request.trailers(), secrets, departing.scope);
  if (body instanceof Uint8Array) return guardWhole(body, head.framing, guard, trailerLeak);
  const stream = new BodyGuard(guard, trailerLeak);
  // Whoever reads the stream hears of a failure; the pipe has nobody else to tell.
  pipeline(body, stream).catch(() => undefined);
  if (head.framing.kind === 'length' && head.framing.bytes <= WHOLE_BYTES) return readWhole(stream);
  await stream.foreseen();
  const framing: Framing = guard.resizes ? { kind: 'chunked' } : head.framing;
  return { body: stream, framing, leak: () => stream.leak };
}

async function guardWhole(
  body: Uint8Array,
  framing: Framing,
  guard: ContentGuard,
  trailerLeak: () => Leak | null,
): Promise<Guarded> {
  try {
    const first = await guard.push(body);
    const last = first.leak === null ? await guard.end() : first;
    const leak = last.leak ?? trailerLeak();
    const sent = last.forward.length === 0 ? first.forward : Buffer.concat([first.forward, last.forward]);
    return { body: sent, framing: framing.kind === 'length' ? lengthOf(sent) : framing, leak: () => leak };
  } finally {
    guard.close();
  }
}

/** Rejects if the content was cut short by anything but a leak. */
async function readWhole(stream: BodyGuard): Promise<Guarded> {
  const pieces: Uint8Array[] = [];
  try {
    for await (const piece of stream) pieces.push(piece as Uint8Array);
  } catch (error) {
    if (stream.leak === null) throw error;
  }
  const body = Buffer.concat(pieces);
  return { body, framing: lengthOf(body), leak: () => stream.leak };
}

function lengthOf(body: Uint8Array): Framing {
  return { kind: 'length', bytes: body.length };
}

function scanTrailers(trailers: HeaderList, secrets: SandboxSecrets, scope: Scope): Leak | null {
  const watch = mayLeak(secrets, scope) ? secrets.watch : NO_WATCH;
  for (const [name, value] of trailers) {
    const place = `trailer:${name.toLowerCase()}`;
    const text = `${name}: ${value}`;
    const leak = scanText(watch, scope, text, place) ?? foreignIn(secrets, text, place);
    if (leak !== null) return leak;
  }
  return null;
}

class BodyGuard extends Transform {
  leak: Leak | null = null;
  readonly #guard: ContentGuard;
  readonly #trailerLeak: () => Leak | null;
  #seen = 0;
  #foreseen: () => void = () => undefined;

  constructor(guard: ContentGuard, trailerLeak: () => Leak | null) {
    super({ readableHighWaterMark: FORESIGHT_BYTES * 4, writableHighWaterMark: FORESIGHT_BYTES });
    this.#guard = guard;
    this.#trailerLeak = trailerLeak;
  }

  /** Resolves when the content has ended, was found to leak or failed, is long, or keeps us waiting. */
  foreseen(): Promise<void> {
    return new Promise(resolve => {
      // Timers run before the sockets are read: what had come when a late one fires is read first.
      const timer = setTimeout(() => setImmediate(() => setImmediate(resolve)), FORESIGHT_MS);
      this.#foreseen = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.destroyed || this.writableFinished) this.#foreseen();
    });
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#guard.push(chunk).then(({ forward, leak }) => {
      if (leak !== null) return this.#stop(leak, done);
      this.#seen += chunk.length;
      if (this.#seen >= FORESIGHT_BYTES) this.#foreseen();
      done(null, forward.length > 0 ? forward : undefined);
    }, done);
  }

  override _flush(done: TransformCallback): void {
    this.#guard.end().then(({ forward, leak }) => {
      const last = leak ?? this.#trailerLeak();
      if (last !== null) return this.#stop(last, done);
      this.#foreseen();
      done(null, forward.length > 0 ? forward : undefined);
    }, done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#guard.close();
    this.#foreseen();
    done(error);
  }

  #stop(leak: Leak, done: TransformCallback): void {
    this.leak = leak;
    const what =
      leak.secret === '' ? 'content that cannot be read' : `a placeholder or value of ${leak.secret}`;
    done(new GatewayError('SECRET_LEAK', `${what} was stopped in the content`));
  }
}

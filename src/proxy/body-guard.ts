/**
 * The content of a request on its way out, watched for what may not leave. Bytes that may be the beginning of a match
 * are held back, so that a leak is never sent whole.
 */
import { Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GatewayError } from '../core/errors.js';
import type { HeaderList } from '../core/headers.js';
import { BodyScanner, type Leak, type Scope, scanText } from '../secrets/scan.js';
import type { SandboxSecrets } from '../secrets/store.js';
import type { Body, Outgoing } from './exchange.js';

/**
 * A short content is read to its end before anything is sent, so that a leak in it costs the upstream not a byte;
 * of a longer one, or one that waits for answers, the head leaves first.
 */
const FORESIGHT_BYTES = 65_536;
const FORESIGHT_MS = 50;

export interface Guarded {
  readonly body: Body;
  /** What was found so far. */
  readonly leak: () => Leak | null;
}

/** Resolves when the head may leave. `declared` are the names of request fields that announce trailers: none needed. */
export async function guardBody(message: Outgoing, secrets: SandboxSecrets, scope: Scope): Promise<Guarded> {
  const { body } = message;
  if (isHarmless(secrets, scope)) return { body, leak: () => null };
  if (body instanceof Uint8Array) {
    const leak = scanWhole(body, secrets, scope) ?? scanTrailers(message.trailers(), secrets, scope);
    return { body, leak: () => leak };
  }
  const guard = new BodyGuard(message, secrets, scope);
  // Both ends hear of a failure as a destroyed stream; there is nobody else to tell.
  pipeline(body, guard).catch(() => undefined);
  await guard.foreseen();
  return { body: guard, leak: () => guard.leak };
}

/** Every secret may go with this request, so nothing in it can be a leak. */
function isHarmless(secrets: SandboxSecrets, scope: Scope): boolean {
  if (secrets.empty) return true;
  if (!secrets.settled) return false;
  for (const name of secrets.entries.keys()) if (!scope.allowed.has(name)) return false;
  return true;
}

function scanWhole(body: Uint8Array, secrets: SandboxSecrets, scope: Scope): Leak | null {
  return body.length === 0 ? null : new BodyScanner(secrets.watch, scope, 'body').push(body).leak;
}

function scanTrailers(trailers: HeaderList, secrets: SandboxSecrets, scope: Scope): Leak | null {
  for (const [name, value] of trailers) {
    const place = `trailer:${name.toLowerCase()}`;
    const leak = scanText(secrets.watch, scope, `${name}: ${value}`, place);
    if (leak !== null) return leak;
  }
  return null;
}

class BodyGuard extends Transform {
  leak: Leak | null = null;
  readonly #message: Outgoing;
  readonly #secrets: SandboxSecrets;
  readonly #scope: Scope;
  readonly #scanner: BodyScanner;
  #seen = 0;
  #foreseen: () => void = () => undefined;

  constructor(message: Outgoing, secrets: SandboxSecrets, scope: Scope) {
    super({ readableHighWaterMark: FORESIGHT_BYTES * 4, writableHighWaterMark: FORESIGHT_BYTES });
    this.#message = message;
    this.#secrets = secrets;
    this.#scope = scope;
    this.#scanner = new BodyScanner(secrets.watch, scope, 'body');
  }

  /** Resolves when the content has ended, was found to leak or failed, is long, or keeps us waiting. */
  foreseen(): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, FORESIGHT_MS);
      this.#foreseen = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const { forward, leak } = this.#scanner.push(chunk);
    if (leak !== null) {
      this.#stop(leak, done);
      return;
    }
    this.#seen += chunk.length;
    if (this.#seen >= FORESIGHT_BYTES) this.#foreseen();
    done(null, forward.length > 0 ? forward : undefined);
  }

  override _flush(done: TransformCallback): void {
    const leak = scanTrailers(this.#message.trailers(), this.#secrets, this.#scope);
    if (leak !== null) {
      this.#stop(leak, done);
      return;
    }
    const rest = this.#scanner.end();
    this.#foreseen();
    done(null, rest.length > 0 ? rest : undefined);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#foreseen();
    done(error);
  }

  #stop(leak: Leak, done: TransformCallback): void {
    this.leak = leak;
    done(new GatewayError('SECRET_LEAK', `a placeholder of ${leak.secret} was stopped in the content`));
  }
}

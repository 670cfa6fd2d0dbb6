/**
 * Events to a stream of NATS JetStream: each published under its id, acknowledged by the broker, told once however
 * often it is sent. A shell: TLS, and the client.
 *
 * The client's own reconnecting is off: an attempt is a connection that is there, or a fault, and the delivery's pauses
 * are the only ones. What was published and not acknowledged is published again; the broker knows it by its id
 * (`Nats-Msg-Id`) within the stream's duplicate window.
 */
import { checkServerIdentity, type PeerCertificate, type SecureContext } from 'node:tls';
import { JetStreamApiError, jetstream, jetstreamManager, StorageType } from '@nats-io/jetstream';
import {
  type Authenticator,
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  type NatsConnection,
  nanos,
  type TlsOptions,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from '@nats-io/transport-node';
import { err, ok, type Result } from '../core/result.js';
import type { Event } from '../events/event.js';
import type { DeliveryFault, Transport } from './delivery.js';

export interface NatsStream {
  readonly name: string;
  /** Made if it is not there, kept in files; null: it must be there. */
  readonly create: { readonly duplicateWindowMs: number } | null;
}

export type NatsLogin =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'user'; readonly user: string; readonly password: string }
  /** The content of a `.creds` file. */
  | { readonly kind: 'creds'; readonly text: string };

export interface NatsOptions {
  /** `nats://HOST[:PORT]` or `tls://HOST[:PORT]`. */
  readonly url: URL;
  readonly subject: string;
  readonly stream: NatsStream | null;
  readonly login: NatsLogin | null;
  /** What the broker's certificate is verified against; needed with `tls`. */
  readonly secureContext?: SecureContext;
  readonly encode: (event: Event) => string;
  readonly timeoutMs: number;
}

export function createNats(options: NatsOptions): Transport {
  return new NatsTransport(options);
}

class NatsTransport implements Transport {
  readonly #options: NatsOptions;
  #connection: NatsConnection | null = null;
  #closed = false;

  constructor(options: NatsOptions) {
    this.#options = options;
  }

  async deliver(batch: readonly Event[], signal: AbortSignal): Promise<Result<void, DeliveryFault>> {
    const ended = endOf(signal);
    try {
      const attempt = this.#attempt(batch);
      // Whoever no longer waits for it must not meet its end unprepared.
      attempt.catch(() => undefined);
      await Promise.race([attempt, ended.promise]);
      return ok(undefined);
    } catch (error) {
      // A refusal comes over a connection that is well; anything else may be its end.
      if (!(error instanceof JetStreamApiError)) await this.#drop();
      return err({ message: sentenceOf(error), final: false });
    } finally {
      ended.forget();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#drop();
  }

  async #attempt(batch: readonly Event[]): Promise<void> {
    await this.#publish(await this.#connect(), batch);
  }

  async #publish(connection: NatsConnection, batch: readonly Event[]): Promise<void> {
    const { subject, stream, encode, timeoutMs } = this.#options;
    const client = jetstream(connection);
    const expect = stream === null ? {} : { expect: { streamName: stream.name } };
    const acks = batch.map(event => {
      const payload = encode(event).trimEnd();
      return client.publish(subjectOf(subject, event), payload, {
        msgID: event.id,
        timeout: timeoutMs,
        ...expect,
      });
    });
    // All are waited for, so that no refusal is left without an owner.
    const settled = await Promise.allSettled(acks);
    const failed = settled.find(ack => ack.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async #connect(): Promise<NatsConnection> {
    if (this.#connection !== null && !this.#connection.isClosed()) return this.#connection;
    const connection = await connect(connectionOptions(this.#options));
    // Made for an attempt that nobody waits for any more.
    if (this.#closed) await connection.close();
    this.#connection = connection;
    await this.#makeStream(connection);
    return connection;
  }

  async #makeStream(connection: NatsConnection): Promise<void> {
    const { stream, subject } = this.#options;
    if (stream?.create == null) return;
    const manager = await jetstreamManager(connection);
    try {
      await manager.streams.info(stream.name);
    } catch (error) {
      if (!(error instanceof JetStreamApiError) || error.code !== STREAM_NOT_FOUND) throw error;
      await manager.streams.add({
        name: stream.name,
        subjects: [subject.replaceAll(PLACEHOLDER, '*')],
        storage: StorageType.File,
        duplicate_window: nanos(stream.create.duplicateWindowMs),
      });
    }
  }

  async #drop(): Promise<void> {
    const connection = this.#connection;
    this.#connection = null;
    // It may be gone already; then there is nothing to end.
    await connection?.close().catch(() => undefined);
  }
}

/** `err_code` of the broker (JetStream's API). */
const STREAM_NOT_FOUND = 10_059;

function connectionOptions({ url, login, secureContext, timeoutMs }: NatsOptions): ConnectionOptions {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const verified = {
    secureContext,
    minVersion: 'TLSv1.2',
    // What the operator wrote, be it a name or an address.
    checkServerIdentity: (_name: string, certificate: PeerCertificate) =>
      checkServerIdentity(host, certificate),
  };
  return {
    servers: [url.host],
    name: 'sallyport',
    reconnect: false,
    // Another server that a broker names is none that the operator named.
    ignoreClusterUpdates: true,
    timeout: timeoutMs,
    ...(login && { authenticator: authenticatorOf(login) }),
    // The client hands on whatever stands here; without TLS it must not even be tried.
    tls: url.protocol === 'tls:' ? (verified as TlsOptions) : null,
  };
}

/** Rejects when `signal` fires. */
function endOf(signal: AbortSignal): { readonly promise: Promise<never>; readonly forget: () => void } {
  let end: () => void = () => undefined;
  const promise = new Promise<never>((_resolve, reject) => {
    end = () => reject(new Error('there is no time left'));
  });
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  return { promise, forget: () => signal.removeEventListener('abort', end) };
}

function authenticatorOf(login: NatsLogin): Authenticator {
  if (login.kind === 'token') return tokenAuthenticator(login.token);
  if (login.kind === 'user') return usernamePasswordAuthenticator(login.user, login.password);
  return credsAuthenticator(new TextEncoder().encode(login.text));
}

const PLACEHOLDER = /\{(gateway|sandbox|type)\}/g;

/** The subject of an event: its own words in the places that `template` has for them. */
export function subjectOf(template: string, { gateway_id, sandbox, type }: Event): string {
  const words = { gateway: gateway_id, sandbox: sandbox ?? 'none', type };
  return template.replaceAll(PLACEHOLDER, (_all, name: keyof typeof words) => token(words[name]));
}

/** One token of a subject: no dot, no wildcard, no space, so that nobody's name makes two of it. */
function token(text: string): string {
  const clean = text.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 64);
  return clean === '' ? '_' : clean;
}

function sentenceOf(error: unknown): string {
  if (error instanceof JetStreamApiError) return `the broker refused it (${error.code}: ${error.message})`;
  const name = error instanceof Error ? error.name : 'unknown';
  return name === 'NoRespondersError'
    ? 'no stream takes the subject'
    : `the broker cannot be reached (${name})`;
}

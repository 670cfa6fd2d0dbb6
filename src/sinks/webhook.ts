/**
 * Batches of events to a URL: JSON lines in a POST, signed, with a key by which the receiver knows a repetition.
 *
 * A shell: HTTP. Nothing is followed: a redirect would carry the evidence, and the signature, to somebody whom nobody
 * named. One connection at a time, kept open.
 */
import { createHash, createHmac } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import type { SecureContext } from 'node:tls';
import type { Clock } from '../core/clock.js';
import { errorCode } from '../core/errors.js';
import { err, ok, type Result } from '../core/result.js';
import type { Event } from '../events/event.js';
import type { DeliveryFault, Transport } from './delivery.js';

export interface WebhookOptions {
  readonly url: URL;
  /** The line of an event, and its identity. */
  readonly encode: (event: Event) => string;
  readonly idOf: (event: Event) => string;
  readonly contentType?: string;
  readonly headers?: ReadonlyMap<string, string>;
  /** Signs; null: unsigned. */
  readonly secret: string | null;
  readonly clock: Clock;
  /** What an `https` receiver's certificate is verified against; absent: Node's roots. */
  readonly secureContext?: SecureContext;
}

/** Refusals of what is in the batch; any other may pass, when somebody has mended something. */
const FINAL: ReadonlySet<number> = new Set([400, 413, 415, 422]);

/** Bytes of an answer that are read: only its head says anything to us. */
const MAX_ANSWER_BYTES = 64 * 1024;

export function createWebhook(options: WebhookOptions): Transport {
  const settings = { keepAlive: true, maxSockets: 1 };
  const agent =
    options.url.protocol === 'https:'
      ? new https.Agent({ ...settings, maxCachedSessions: 0, minVersion: 'TLSv1.2' })
      : new http.Agent(settings);
  return {
    deliver: async (batch, signal) => {
      const body = batch.map(options.encode).join('');
      const sent = await post(options, agent, body, idempotencyKey(batch, options.idOf), signal);
      return sent.ok ? verdictOf(sent.value, options.clock.now()) : sent;
    },
    close: async () => agent.destroy(),
  };
}

/** The first and the last id, how many there are, and a hash of all: the same for the same events, however often. */
export function idempotencyKey(batch: readonly Event[], idOf: (event: Event) => string): string {
  const ids = batch.map(idOf);
  const hash = createHash('sha256').update(ids.join('\n')).digest('hex').slice(0, 32);
  return `${ids[0] ?? ''}..${ids.at(-1) ?? ''};${ids.length};${hash}`;
}

/** `t=SECONDS,v1=HEX`: HMAC-SHA256 over `SECONDS.BODY`, so that an old request cannot be sent again as a new one. */
export function signatureOf(secret: string, body: string, nowMs: number): string {
  const seconds = Math.floor(nowMs / 1_000);
  const mac = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
  return `t=${seconds},v1=${mac}`;
}

interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
}

function post(
  { url, secret, clock, headers, secureContext, contentType = 'application/x-ndjson' }: WebhookOptions,
  agent: http.Agent,
  body: string,
  key: string,
  signal: AbortSignal,
): Promise<Result<Answer, DeliveryFault>> {
  return new Promise(resolve => {
    const { request: open } = url.protocol === 'https:' ? https : http;
    const request = open(url, {
      method: 'POST',
      agent,
      signal,
      headers: {
        ...Object.fromEntries(headers ?? []),
        'content-type': contentType,
        'content-length': String(Buffer.byteLength(body)),
        'user-agent': 'sallyport',
        'idempotency-key': key,
        ...(secret !== null && { 'sallyport-signature': signatureOf(secret, body, clock.now()) }),
      },
      ...(secureContext && { secureContext }),
    } as https.RequestOptions);
    request.on('error', error => {
      resolve(err({ message: `it cannot be reached (${errorCode(error)})`, final: false }));
    });
    request.on('response', response => {
      const answer = { status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'] };
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) response.destroy();
      });
      // Whatever becomes of the content, the head was the answer.
      response.on('close', () => resolve(ok(answer)));
      response.on('error', () => resolve(ok(answer)));
    });
    request.end(body);
  });
}

function verdictOf({ status, retryAfter }: Answer, nowMs: number): Result<void, DeliveryFault> {
  if (status >= 200 && status < 300) return ok(undefined);
  const redirected = status >= 300 && status < 400 ? ', and no redirect is followed' : '';
  const wait = retryAfterMs(retryAfter, nowMs);
  return err({
    message: `it answered ${status}${redirected}`,
    final: FINAL.has(status),
    ...(wait !== null && { retryAfterMs: wait }),
  });
}

/** Seconds or a date (RFC 9110 §10.2.3). */
function retryAfterMs(text: string | undefined, nowMs: number): number | null {
  if (text === undefined) return null;
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1_000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : Math.max(0, at - nowMs);
}

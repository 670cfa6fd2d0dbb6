/**
 * POST requests of sinks to one URL, one at a time over one connection. A shell: HTTP.
 *
 * Nothing is followed: a redirect would carry the evidence, and its signature, to somebody whom nobody named.
 */
import http from 'node:http';
import https from 'node:https';
import type { SecureContext } from 'node:tls';
import { errorCode } from '../core/errors.js';
import { err, ok, type Result } from '../core/result.js';
import type { DeliveryFault } from './delivery.js';

export interface PosterOptions {
  readonly url: URL;
  readonly headers?: ReadonlyMap<string, string>;
  /** What an `https` receiver's certificate is verified against; absent: Node's roots. */
  readonly secureContext?: SecureContext;
}

export interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  /** Its beginning. */
  readonly text: string;
}

export interface Poster {
  send(
    body: string | Uint8Array,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Result<Answer, DeliveryFault>>;
  close(): void;
}

/** Bytes of an answer that are read: its head is what matters. */
const MAX_ANSWER_BYTES = 64 * 1024;

export function createPoster({ url, headers: fixed, secureContext }: PosterOptions): Poster {
  const isTls = url.protocol === 'https:';
  const settings = { keepAlive: true, maxSockets: 1 };
  const agent = isTls
    ? new https.Agent({ ...settings, maxCachedSessions: 0, minVersion: 'TLSv1.2' })
    : new http.Agent(settings);
  const { request: open } = isTls ? https : http;
  return {
    send: (body, headers, signal) =>
      new Promise(resolve => {
        const request = open(url, {
          method: 'POST',
          agent,
          signal,
          headers: {
            ...Object.fromEntries(fixed ?? []),
            'user-agent': 'sallyport',
            ...headers,
            'content-length': String(typeof body === 'string' ? Buffer.byteLength(body) : body.length),
          },
          ...(secureContext && { secureContext }),
        } as https.RequestOptions);
        request.on('error', error => {
          resolve(err({ message: `it cannot be reached (${errorCode(error)})`, final: false }));
        });
        request.on('response', response => void collect(response).then(answer => resolve(ok(answer))));
        request.end(body);
      }),
    close: () => agent.destroy(),
  };
}

/** Whatever becomes of the content, the head was the answer. Never rejects. */
function collect(response: http.IncomingMessage): Promise<Answer> {
  return new Promise(resolve => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    const end = (): void =>
      resolve({
        status: response.statusCode ?? 0,
        retryAfter: response.headers['retry-after'],
        text: Buffer.concat(pieces).toString('utf8'),
      });
    response.on('data', (chunk: Buffer) => {
      pieces.push(chunk);
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) response.destroy();
    });
    response.on('close', end);
    response.on('error', end);
  });
}

/** Refusals of what is in the batch; any other may pass, when somebody has mended something. */
const FINAL: ReadonlySet<number> = new Set([400, 413, 415, 422]);

export function verdictOf({ status, retryAfter }: Answer, nowMs: number): Result<void, DeliveryFault> {
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

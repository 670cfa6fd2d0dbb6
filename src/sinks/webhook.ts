/**
 * Batches of events to a URL: JSON lines in a POST, signed, with a key by which the receiver knows a repetition.
 *
 * Pure but for what it posts with.
 */
import { createHash, createHmac } from 'node:crypto';
import type { Clock } from '../core/clock.js';
import type { Event } from '../events/event.js';
import type { Transport } from './delivery.js';
import { createPoster, type PosterOptions, verdictOf } from './post.js';

export interface WebhookOptions extends PosterOptions {
  /** The line of an event. */
  readonly encode: (event: Event) => string;
  /** Signs; null: unsigned. */
  readonly secret: string | null;
  readonly clock: Clock;
}

export function createWebhook(options: WebhookOptions): Transport {
  const { encode, secret, clock } = options;
  const poster = createPoster(options);
  return {
    deliver: async (batch, signal) => {
      const body = batch.map(encode).join('');
      const headers = {
        'content-type': 'application/x-ndjson',
        'idempotency-key': idempotencyKey(batch),
        ...(secret !== null && { 'sallyport-signature': signatureOf(secret, body, clock.now()) }),
      };
      const sent = await poster.send(body, headers, signal);
      return sent.ok ? verdictOf(sent.value, clock.now()) : sent;
    },
    close: async () => poster.close(),
  };
}

/** The first and the last id, how many there are, and a hash of all: the same for the same events, however often. */
export function idempotencyKey(batch: readonly Event[]): string {
  const ids = batch.map(({ id }) => id);
  const hash = createHash('sha256').update(ids.join('\n')).digest('hex').slice(0, 32);
  return `${ids[0] ?? ''}..${ids.at(-1) ?? ''};${ids.length};${hash}`;
}

/** `t=SECONDS,v1=HEX`: HMAC-SHA256 over `SECONDS.BODY`, so that an old request cannot be sent again as a new one. */
export function signatureOf(secret: string, body: string, nowMs: number): string {
  const seconds = Math.floor(nowMs / 1_000);
  const mac = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
  return `t=${seconds},v1=${mac}`;
}

/**
 * Identities of traces and spans (W3C Trace Context): the request's own where it brought them, else made of the event's,
 * so that what is sent again is the same span and not another. Pure.
 */
import { createHash } from 'node:crypto';
import type { Event } from '../events/event.js';

export interface TraceParent {
  readonly traceId: string;
  readonly spanId: string;
}

/** Version 00 of `traceparent`; null for anything else, and for the ids that are invalid (§3.2.2). */
export function parseTraceParent(text: string | undefined): TraceParent | null {
  const [, traceId, spanId] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/.exec(text ?? '') ?? [];
  if (traceId === undefined || spanId === undefined) return null;
  return /^0+$/.test(traceId) || /^0+$/.test(spanId) ? null : { traceId, spanId };
}

/** All events of one request share it. */
export function traceIdOf({ id, gateway_id, network }: Event): string {
  const subject = network?.request ?? network?.flow;
  return digest(subject == null ? id : `${gateway_id}/${subject}`, 32);
}

/** Of the whole, or of a part of it. */
export function spanIdOf({ id }: Event, part = ''): string {
  return digest(`${id}/${part}`, 16);
}

/** Never all zeros, but for one in 2^64. */
function digest(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}

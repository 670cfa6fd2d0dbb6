/** Which events are kept when not all can be: pure. */
import type { Event, EventType } from './event.js';

const WEIGHTY: ReadonlySet<EventType> = new Set<EventType>([
  'gateway.started',
  'gateway.closed',
  'gateway.dropped',
  'gateway.repeated',
  'spool.recovered',
  'spool.trimmed',
  'policy.loaded',
  'policy.refused',
  'dns.refused',
  'flow.refused',
  'tls.refused',
  'request.refused',
  'secret.leak',
  'sandbox.stopped',
]);

/** A refusal, a leak, or a fact about the gateway itself: lost only when nothing lighter is left to lose. */
export function isWeighty(event: Event): boolean {
  return WEIGHTY.has(event.type) || event.network?.decision === 'deny';
}

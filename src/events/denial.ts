/** What was said no to: pure. */
import type { Event, EventType } from './event.js';

const DENIALS: ReadonlySet<EventType> = new Set<EventType>([
  'gateway.repeated',
  'gateway.dropped',
  'secret.leak',
  'sandbox.stopped',
]);

/** A refusal, a leak, or a count of refusals or of lost events: what no filter takes away silently. */
export function isDenial({ type, network }: Event): boolean {
  return network?.decision === 'deny' || DENIALS.has(type);
}

/** The same, and what `mode: shadow` only would have refused: what `--denied` shows. */
export function isDenialOrWouldBe(event: Event): boolean {
  return isDenial(event) || event.network?.would_deny !== undefined;
}

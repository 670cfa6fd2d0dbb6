/**
 * Two streams joined: passthrough TLS, raw TCP by name, and WebSocket after its 101. Half-close is kept, so that a
 * peer that has finished sending can still be answered; back-pressure is the streams' own.
 */
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/**
 * Relays both ways until both sides have ended. Rejects, with both streams destroyed, when one of them fails or
 * `signal` fires. Both must have been made with `allowHalfOpen`.
 */
export async function splice(sandbox: Duplex, upstream: Duplex, signal: AbortSignal): Promise<void> {
  for (const end of [sandbox, upstream]) end.setMaxListeners(Math.max(end.getMaxListeners(), LISTENERS));
  try {
    await Promise.all([pipeline(sandbox, upstream, { signal }), pipeline(upstream, sandbox, { signal })]);
  } catch (error) {
    sandbox.destroy();
    upstream.destroy();
    throw error;
  }
}

/** Two pipelines listen on each end, several times each, beside whoever had it before: Node takes eleven for a leak. */
const LISTENERS = 32;

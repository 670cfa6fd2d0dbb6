/** What of the process's surroundings the gateway refuses to start in. Pure. */
import { GatewayError } from '../core/errors.js';
import type { Environment } from '../secrets/sources.js';

/** Node reads `_` in a flag as `-`. */
const OPENS_MEMORY =
  /--(?:inspect|heapsnapshot|heap[-_]prof|report[-_](?:on|uncaught)|abort[-_]on[-_]uncaught)/;

/** What would turn off the gateway's own checks, or open its memory, is no place to keep a secret in (threats C7). */
export function refuseUnsafeProcess(env: Environment, ownFlags: readonly string[]): void {
  const flags = `${env.NODE_OPTIONS ?? ''} ${ownFlags.join(' ')}`;
  const unsafe = [
    env.NODE_TLS_REJECT_UNAUTHORIZED === '0'
      ? 'NODE_TLS_REJECT_UNAUTHORIZED=0 turns off certificate checks'
      : null,
    OPENS_MEMORY.test(flags)
      ? 'NODE_OPTIONS, or a flag of node, opens the memory of the gateway (--inspect, --heap*, --report-*)'
      : null,
  ].filter(problem => problem !== null);
  if (unsafe.length > 0) throw new GatewayError('CONFIG_INVALID', `${unsafe.join('; ')}: unset it`);
}

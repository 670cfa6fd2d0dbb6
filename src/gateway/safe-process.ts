/** What of the process's surroundings the gateway refuses to start in. Pure. */
import { GatewayError } from '../core/errors.js';
import type { Environment } from '../secrets/sources.js';

/** What would turn off the gateway's own checks, or open its memory, is no place to keep a secret in (threats C7). */
export function refuseUnsafeProcess(env: Environment): void {
  const unsafe = [
    env.NODE_TLS_REJECT_UNAUTHORIZED === '0'
      ? 'NODE_TLS_REJECT_UNAUTHORIZED=0 turns off certificate checks'
      : null,
    /--inspect|--heapsnapshot|--report-on/.test(env.NODE_OPTIONS ?? '')
      ? 'NODE_OPTIONS opens the memory of the gateway (--inspect, --heapsnapshot-*, --report-*)'
      : null,
  ].filter(problem => problem !== null);
  if (unsafe.length > 0) throw new GatewayError('CONFIG_INVALID', `${unsafe.join('; ')}: unset it`);
}

/** The gateway's own look-ups: what `proxy/upstream` dials by. */
import type { IpAddress } from '../core/address.js';
import type { Hostname } from '../core/host.js';

export interface Resolver {
  /**
   * All addresses of `name`, A and AAAA. Throws `GatewayError` `RESOLVE_FAILED` for an error, an empty answer or a
   * timeout: the caller denies.
   */
  resolve(name: Hostname, signal: AbortSignal): Promise<readonly IpAddress[]>;
}

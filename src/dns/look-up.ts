/** A question to real name servers, and what they said. */
import type { Endpoint, IpAddress } from '../core/address.js';
import type { Hostname } from '../core/host.js';

/** `no-name`: NXDOMAIN. An `addresses` that is empty: the name is there, without an address of this family. */
export type LookUpAnswer =
  | { readonly kind: 'addresses'; readonly addresses: readonly IpAddress[]; readonly ttlSeconds: number }
  | { readonly kind: 'no-name'; readonly ttlSeconds: number };

/**
 * Asks `servers` for the addresses of `name` of one family. Nothing of a sandbox's packet is in the question but
 * the name. Throws `GatewayError` `RESOLVE_FAILED` when no server gave a usable answer.
 */
export type LookUp = (
  name: Hostname,
  family: 4 | 6,
  servers: readonly Endpoint[],
  signal: AbortSignal,
) => Promise<LookUpAnswer>;

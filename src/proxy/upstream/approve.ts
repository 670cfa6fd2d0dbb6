/**
 * From a decided name to the addresses that may be dialled: each address is a question of its own, asked at the
 * time of the dial, and one bad answer denies the name (a rebinding name mixes good and bad ones).
 */
import type { Endpoint, IpAddress } from '../../core/address.js';
import { GatewayError } from '../../core/errors.js';
import { type Host, hostText } from '../../core/host.js';
import type { Resolver } from '../../dns/resolver.js';
import type { Verdict } from '../../policy/question.js';
import { aborted } from './failure.js';

/** The operator's own address for a name; a null port leaves the port as asked. */
export interface Pin {
  readonly address: IpAddress;
  readonly port: number | null;
}

export type DecideDial = (host: Host, endpoint: Endpoint) => Verdict;

export interface Destination {
  readonly host: Host;
  readonly port: number;
  readonly decideDial: DecideDial;
  readonly pin: Pin | null;
}

/**
 * The endpoints of `destination`, in the resolver's order, never empty. Literals and pins are asked about too.
 * Throws `GatewayError`: RESOLVE_FAILED, DIAL_REFUSED (`cause` is the verdict) or CLIENT_ABORTED.
 */
export async function approve(
  destination: Destination,
  resolver: Resolver,
  signal: AbortSignal,
): Promise<readonly Endpoint[]> {
  const { host, decideDial, pin } = destination;
  const port = pin?.port ?? destination.port;
  const endpoints: Endpoint[] = [];
  const seen = new Set<string>();
  for (const address of await addressesOf(host, pin, resolver, signal)) {
    if (seen.has(address.text)) continue;
    seen.add(address.text);
    const endpoint = { address, port };
    const verdict = decideDial(host, endpoint);
    if (!verdict.allow) {
      const message = `${hostText(host)} is at ${address.text}, which may not be dialled: ${verdict.reason}`;
      throw new GatewayError('DIAL_REFUSED', message, { cause: verdict });
    }
    endpoints.push(endpoint);
  }
  return endpoints;
}

async function addressesOf(
  host: Host,
  pin: Pin | null,
  resolver: Resolver,
  signal: AbortSignal,
): Promise<readonly IpAddress[]> {
  if (pin) return [pin.address];
  if (host.kind === 'ip') return [host.address];
  const addresses = await resolver.resolve(host.name, signal).catch((error: unknown) => {
    if (signal.aborted) throw aborted(signal);
    if (error instanceof GatewayError) throw error;
    throw new GatewayError('RESOLVE_FAILED', `${host.name} could not be looked up`, { cause: error });
  });
  if (addresses.length === 0) throw new GatewayError('RESOLVE_FAILED', `${host.name} has no address`);
  return addresses;
}

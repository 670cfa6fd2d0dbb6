/**
 * The plain door, for a machine without nft: no ruleset, but a route that makes every address the gate's own, and a
 * listener on each port that the policy names. The kernel refuses the rest by itself, for nothing listens there.
 *
 * Pure. What it lacks beside the ruleset: DNS is answered only at the gate's own address, a policy that allows every
 * port cannot be served, and what was refused leaves no record.
 */
import type { Socket } from 'node:net';
import { type Endpoint, type IpAddress, parseAddress } from '../../core/address.js';
import { GatewayError } from '../../core/errors.js';
import { mergePorts, type PortRange } from './ports.js';

/** Each port costs a listener, so a policy may name this many. */
export const PLAIN_PORTS = 256;

/** The ports to listen on. Throws `TOOL_MISSING` for more than a door without nft can serve. */
export function plainPorts(ranges: readonly PortRange[]): readonly number[] {
  const merged = mergePorts(ranges);
  const count = merged.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  if (count > PLAIN_PORTS) {
    throw new GatewayError(
      'TOOL_MISSING',
      `not installed: nft. Without it a policy may name ${PLAIN_PORTS} ports, and this one allows ${count}: install nftables, or run \`sallyport setup\`.`,
    );
  }
  return merged.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, index) => from + index));
}

/** Nothing was translated: the socket's own end is where the connection was going. */
export function ownTarget({ localAddress, localPort }: Socket): Endpoint | null {
  if (localAddress === undefined || localPort === undefined) return null;
  const address = unmapped(localAddress);
  return address === null ? null : { address, port: localPort };
}

/** Node writes an IPv4 end of a dual-stack listener as a mapped address. */
export function unmapped(text: string): IpAddress | null {
  const address = parseAddress(text.startsWith('::ffff:') ? text.slice('::ffff:'.length) : text);
  return address.ok ? address.value : null;
}

/** Small pieces that both the policy file and the flags hold. Pure; errors are sentences for the operator. */
import { type IpAddress, unmapped } from '../core/address.js';
import { parsePort } from '../core/authority.js';
import { parseHost } from '../core/host.js';
import { err, ok, type Result } from '../core/result.js';
import type { HostPin, PortRange } from './policy.js';
import { quoted } from './problem.js';

/** Where HTTP lives: what a domain rule without a port means. */
export const WEB_PORTS: readonly PortRange[] = Object.freeze([
  { from: 80, to: 80 },
  { from: 443, to: 443 },
]);

export const ALL_PORTS: readonly PortRange[] = Object.freeze([{ from: 1, to: 65_535 }]);

/** Reads `IP` or `IP:PORT` (`[v6]:PORT`): what an operator pins a name or a resolver to. */
export function parseDialTarget(text: string): Result<HostPin, string> {
  const fault = err(`${quoted(text)} is not an address: write IP, IP:PORT or [IPv6]:PORT`);
  const bareV6 = !text.startsWith('[') && text.split(':').length > 2;
  const hostEnd = bareV6 ? -1 : text.startsWith('[') ? text.indexOf(']') + 1 : text.indexOf(':');
  const hostPart = hostEnd > 0 ? text.slice(0, hostEnd) : text;
  const address = literal(bareV6 ? `[${hostPart}]` : hostPart);
  if (address === null) return fault;
  const rest = text.slice(hostPart.length);
  if (rest === '') return ok({ address, port: null });
  const port = rest.startsWith(':') ? parsePort(rest.slice(1)) : null;
  return port?.ok ? ok({ address, port: port.value }) : fault;
}

function literal(text: string): IpAddress | null {
  const host = parseHost(text);
  return host.ok && host.value.kind === 'ip' ? unmapped(host.value.address) : null;
}

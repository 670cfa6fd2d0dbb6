/**
 * The two files by which a host resolves names: hosts(5) and resolv.conf(5).
 *
 * Pure. They are the operator's own machine's and written by many programs, so a line that makes no sense is passed
 * over as libc does it, and what remains is validated like any other address and name.
 */
import { type Endpoint, type IpAddress, parseAddress } from '../core/address.js';
import { type Hostname, parseHostname } from '../core/host.js';

const DNS_PORT = 53;
/** What libc takes (MAXNS of resolv.h). */
const MAX_SERVERS = 3;

export type HostsTable = ReadonlyMap<Hostname, readonly IpAddress[]>;

export function parseHosts(text: string): HostsTable {
  const table = new Map<Hostname, IpAddress[]>();
  for (const fields of fieldsOfLines(text)) {
    const [first = '', ...names] = fields;
    const address = parseAddress(first);
    if (!address.ok) continue;
    for (const candidate of names) {
      const name = parseHostname(candidate);
      if (!name.ok) continue;
      const known = table.get(name.value);
      if (known === undefined) table.set(name.value, [address.value]);
      else if (!known.some(({ text }) => text === address.value.text)) known.push(address.value);
    }
  }
  return table;
}

/** The name servers of a resolv.conf, the first three; zones of link-local ones are not supported. */
export function parseNameServers(text: string): readonly Endpoint[] {
  const servers: Endpoint[] = [];
  for (const [keyword, server = ''] of fieldsOfLines(text)) {
    const address = keyword === 'nameserver' ? parseAddress(server) : null;
    if (address?.ok && servers.length < MAX_SERVERS) servers.push({ address: address.value, port: DNS_PORT });
  }
  return servers;
}

function fieldsOfLines(text: string): string[][] {
  return text
    .split('\n')
    .map(line => line.replace(/[#;].*/, '').trim())
    .filter(line => line !== '')
    .map(line => line.split(/\s+/));
}

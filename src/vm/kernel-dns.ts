/**
 * Name servers in a kernel's arguments. Pure.
 *
 * An address is parsed before it is written: the arguments of a kernel have no quotes.
 */
import { isIPv4 } from 'node:net';
import { parseAddress } from '../core/address.js';
import { ErrNetworkInvalidConfig } from './errors.js';

/** The kernel's `ip=` takes so many, and IPv4 alone: a colon parts its fields. */
const MAX_IP_SERVERS = 2;

/** `:dns0:dns1`, to stand at the end of `ip=…` (Linux, admin-guide/nfs/nfsroot); empty where there is none. */
export function kernelIPDNSSuffix(dnsServers: readonly string[]): string {
  return checked(dnsServers)
    .filter(server => isIPv4(server))
    .slice(0, MAX_IP_SERVERS)
    .map(server => `:${server}`)
    .join('');
}

/** All of them, parted by commas: the value of `sallyport.dns=`. */
export function kernelDNSParam(dnsServers: readonly string[]): string {
  return checked(dnsServers).join(',');
}

function checked(servers: readonly string[]): readonly string[] {
  return servers.map(server => {
    const parsed = parseAddress(server);
    if (!parsed.ok) throw new ErrNetworkInvalidConfig(`'${server}' is not the address of a name server`);
    return parsed.value.text;
  });
}

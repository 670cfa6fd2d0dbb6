/** The few files of /etc that must tell the sandbox's truth instead of the host's. Pure. */
import { GATE_IPV4 } from '../../net/vestibule/ruleset.js';

export const HOSTNAME = 'sallyport';

/** resolv.conf(5): any address would do, since the door answers port 53 of all of them. */
export function emitResolvConf(
  searchDomains: readonly string[],
  servers: readonly string[] = [GATE_IPV4],
): string {
  const search = searchDomains.length === 0 ? '' : `search ${searchDomains.join(' ')}\n`;
  return `${servers.map(server => `nameserver ${server}\n`).join('')}${search}`;
}

/** The host's entries would give the sandbox addresses for names that no rule was asked about. */
export const HOSTS = `127.0.0.1 localhost ${HOSTNAME}
::1 localhost ip6-localhost ip6-loopback
`;

/**
 * nsswitch.conf(5) with host names from the file and from DNS only: other sources (`resolve`, `mdns`, `mymachines`)
 * ask daemons of the host, which the sandbox cannot reach, and some do so before DNS.
 */
export function emitNsswitch(hosts: string): string {
  return hosts.replace(/^\s*hosts:.*$/gm, 'hosts: files dns');
}

/** The few files that must tell a machine's truth instead of the host's. Pure but for the files it is given. */

import type { VMConfig } from '../backend.js';
import type { DataFile } from '../command.js';
import { emitNsswitch, emitResolvConf } from './etc.js';
import { readHostText } from './host.js';

export function machineFiles(config: VMConfig): readonly DataFile[] {
  const { door, hostname, addHosts, searchDomains } = config;
  const text = (path: string, content: string): DataFile => ({ path, content: Buffer.from(content) });
  return [
    text('/etc/resolv.conf', door === null ? '' : emitResolvConf(searchDomains)),
    text('/etc/hosts', emitHosts(hostname, addHosts)),
    text('/etc/hostname', `${hostname}\n`),
    text('/etc/nsswitch.conf', emitNsswitch(readHostText('/etc/nsswitch.conf') ?? '')),
    ...(door?.trustFiles ?? []),
  ];
}

/** hosts(5) */
export function emitHosts(hostname: string, addHosts: VMConfig['addHosts']): string {
  const own = ['127.0.0.1 localhost', '::1 localhost ip6-localhost ip6-loopback', `127.0.1.1 ${hostname}`];
  return [...own, ...addHosts.map(({ host, ip }) => `${ip} ${host}`), ''].join('\n');
}

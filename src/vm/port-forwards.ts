/**
 * The way into a machine through the ports of its configuration: to its own loopback where it is a process, to the
 * address of its link where it has a kernel of its own.
 */
import { isIP } from 'node:net';
import { type ForwardSpec, type Forwards, openForwards } from '../net/forwards/index.js';
import type { MachineDoor, VMConfig } from './backend.js';
import type { PortForward } from './config.js';
import { ErrNetworkInvalidConfig } from './errors.js';

const LOOPBACK = '127.0.0.1';

/** Null where none are wanted. Throws `NETWORK_CONFIG_INVALID` for one that cannot be, `WARDEN_FAILED`. */
export async function openMachineForwards({
  door,
  portForwards,
  onForward,
}: Pick<VMConfig, 'door' | 'portForwards' | 'onForward'>): Promise<Forwards | null> {
  if (portForwards.length === 0) return null;
  if (door === null) {
    throw new ErrNetworkInvalidConfig('port_forwards: a machine without a network has no ports to lead to');
  }
  const specs = portForwards.map(specOf);
  return await openForwards(specs, await targetOf(door, specs), onForward);
}

async function targetOf({ cell, tap }: MachineDoor, specs: readonly ForwardSpec[]) {
  const { pid, userNamespace, tools } = cell;
  if (tap === null) return { pid, userNamespace, tools, address: LOOPBACK };
  const portsOf = (wanted: 'tcp' | 'udp'): readonly number[] =>
    specs.filter(({ protocol }) => protocol === wanted).map(({ guestPort }) => guestPort);
  await tap.admit({ tcp: portsOf('tcp'), udp: portsOf('udp') });
  return { pid: tap.gatePid, userNamespace, tools, address: tap.lease.guestIpv4 };
}

const PUBLISH = /^(?:(\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:.]+\]):)?(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/;

/** Reads `[IP:]HOSTPORT:GUESTPORT[/tcp|udp]`. Throws `NETWORK_CONFIG_INVALID`. */
export function parsePublish(text: string): PortForward {
  const [, ip, host, guest, protocol = 'tcp'] = PUBLISH.exec(text) ?? [];
  const [hostPort, guestPort] = [Number(host), Number(guest)];
  const hostIp = ip?.replace(/^\[|\]$/g, '') ?? LOOPBACK;
  if (guest === undefined || isIP(hostIp) === 0 || hostPort > 65_535 || guestPort < 1 || guestPort > 65_535) {
    throw new ErrNetworkInvalidConfig(`${JSON.stringify(text)} is not [IP:]HOSTPORT:GUESTPORT[/tcp|/udp]`);
  }
  return { hostIp, hostPort, guestPort, protocol: protocol as 'tcp' | 'udp' };
}

function specOf({ hostIp = LOOPBACK, hostPort, guestPort, protocol = 'tcp' }: PortForward): ForwardSpec {
  return { hostIp, hostPort, guestPort, protocol };
}

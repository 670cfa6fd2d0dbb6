/** What a guest made of an image is told before its first command: names, resolver, the authority. Gives the environment of its commands. */
import type { VMConfig } from './backend.js';
import type { DataFile } from './command.js';
import { DEFAULT_WORKSPACE } from './config.js';
import { emitResolvConf } from './process/etc.js';
import { type GuestPlaces, guestTrust } from './trust/guest-trust.js';

/** Files of a guest as they are looked at and laid before its first command. */
export interface GuestFileLayer extends GuestPlaces {
  /** Lays all of them, links on the way followed; a path that ends with `/` is a folder. */
  putFiles(files: readonly (DataFile & { readonly mode?: number })[]): Promise<void>;
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export async function prepareGuest(
  config: VMConfig,
  guest: GuestFileLayer,
): Promise<ReadonlyMap<string, string>> {
  const { door, vfs, workingDir, imageConfig } = config;
  const trust = door === null ? { files: [], env: new Map() } : await guestTrust(door.caPem, guest);
  // Made where the image lacks them, as Docker does with WORKDIR.
  const folders = [vfs.workspace ?? DEFAULT_WORKSPACE, workingDir, imageConfig?.workingDir].filter(
    path => path?.startsWith('/') === true,
  );
  await guest.putFiles([
    ...etcFiles(config),
    ...trust.files,
    ...folders.map(path => ({ path: `${path}/`, content: new Uint8Array(0) })),
  ]);
  return new Map([
    ['PATH', PATH],
    ...Object.entries(config.imageConfig?.env ?? {}),
    ...config.env,
    ...trust.env,
    ...(door?.secretEnv ?? []),
  ]);
}

function etcFiles({ door, bridge, hostname, addHosts, searchDomains }: VMConfig): readonly DataFile[] {
  const own = addHosts.map(({ host, ip }) => `${ip} ${host}\n`).join('');
  const foreign = bridge === undefined ? '' : emitResolvConf(searchDomains, bridge.nameServers);
  const resolvConf = door === null ? foreign : emitResolvConf(searchDomains);
  const texts = [
    ['/etc/hostname', `${hostname}\n`],
    ['/etc/hosts', `127.0.0.1 localhost ${hostname}\n::1 localhost ip6-localhost ip6-loopback\n${own}`],
    ['/etc/resolv.conf', resolvConf],
  ] as const;
  return texts.map(([path, text]) => ({ path, content: Buffer.from(text) }));
}

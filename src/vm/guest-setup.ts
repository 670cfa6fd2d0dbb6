/** What a guest is told once it is up: names, resolver, the authority. Gives the environment of its commands. */
import type { VMConfig } from '../backend.js';
import type { DataFile } from '../command.js';
import { DEFAULT_WORKSPACE } from '../config.js';
import { emitResolvConf } from '../process/etc.js';
import type { GuestFileAccess } from './guest-access.js';
import { guestTrust } from './guest-trust.js';

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export async function prepareGuest(
  config: VMConfig,
  guest: GuestFileAccess,
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

function etcFiles({ door, hostname, addHosts, searchDomains }: VMConfig): readonly DataFile[] {
  const own = addHosts.map(({ host, ip }) => `${ip} ${host}\n`).join('');
  const texts = [
    ['/etc/hostname', `${hostname}\n`],
    ['/etc/hosts', `127.0.0.1 localhost ${hostname}\n::1 localhost ip6-localhost ip6-loopback\n${own}`],
    ['/etc/resolv.conf', door === null ? '' : emitResolvConf(searchDomains)],
  ] as const;
  return texts.map(([path, text]) => ({ path, content: Buffer.from(text) }));
}

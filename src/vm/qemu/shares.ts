/**
 * Serves folders of the host to a machine (shell: starts virtiofsd).
 *
 * Each has a server of its own, as the caller's user, root only in a namespace where nothing is but the folder and the
 * programs of /usr: whatever the guest makes of it, by `..` or by links, ends there. A folder that is only to be read
 * is a read-only mount before the server sees it. `docs/decisions/0050-mounts.md` has what was tried.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findTools } from '../../net/vestibule/index.js';
import { ErrMountInvalidConfig, ErrVMStartFailed } from '../errors.js';
import { hostFiles } from '../process/host.js';
import { isWithin, realPaths } from '../process/mounts.js';
import type { Share } from './attachments.js';
import type { DiskFile } from './command-line.js';

export interface OpenShares {
  /** Tags, and the sockets that serve them. */
  readonly sockets: ReadonlyMap<string, string>;
  close(): Promise<void>;
}

/** Where QEMU's own packages have it. */
const SERVER = '/usr/lib/qemu/virtiofsd';
const LOOK_AGAIN_MS = 10;
const START_TIMEOUT_MS = 20_000;

/** `folder` is the machine's own. Throws `MOUNT_CONFIG_INVALID`, `VM_START_FAILED`. */
export async function openShares(
  shares: readonly Share[],
  folder: string,
  hide: readonly string[],
): Promise<OpenShares> {
  const children: ChildProcess[] = [];
  const sockets = new Map<string, string>();
  const close = async (): Promise<void> => {
    await Promise.all(children.map(end));
    await rm(join(folder, 'shares'), { recursive: true, force: true });
  };
  try {
    for (const share of shares) {
      const own = join(folder, 'shares', share.tag);
      await rm(own, { recursive: true, force: true });
      await mkdir(own, { recursive: true, mode: 0o700 });
      const child = startServer(serverArgs(share, own, hide));
      children.push(child);
      sockets.set(share.tag, await socketOf(child, join(own, 'socket'), share));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { sockets, close };
}

function serverArgs({ hostPath, readonly }: Share, own: string, hide: readonly string[]): readonly string[] {
  const source = sourceOf(hostPath, 'directory', hide);
  if (!existsSync(SERVER)) {
    throw new ErrVMStartFailed('virtiofsd is not installed: it comes with the package qemu-system-common');
  }
  const system = ['/usr', '/lib', '/lib64', '/etc/ld.so.cache'].filter(path => existsSync(path));
  const hidden = realPaths(hide, hostFiles).filter(path => isWithin(path, source));
  return [
    ...['--unshare-user', '--uid', '0', '--gid', '0', '--unshare-pid', '--unshare-net', '--unshare-ipc'],
    ...['--unshare-uts', '--cap-add', 'ALL', '--die-with-parent', '--new-session', '--clearenv'],
    ...['--tmpfs', '/', '--dev', '/dev', '--proc', '/proc'],
    ...system.flatMap(path => ['--ro-bind', path, path]),
    // It keeps a lock there.
    ...['--tmpfs', '/run', '--dir', '/var', '--symlink', '../run', '/var/run'],
    ...[readonly ? '--ro-bind' : '--bind', source, '/share', '--bind', own, '/own'],
    ...hidden.flatMap(path => [
      ...(hostFiles.kind(path) === 'directory' ? ['--tmpfs'] : ['--ro-bind', '/dev/null']),
      `/share${path.slice(source === '/' ? 0 : source.length)}`,
    ]),
    ...['--', SERVER, '-f', '--socket-path=/own/socket', '-o', 'source=/share', '-o', 'sandbox=namespace'],
    ...['-o', 'cache=auto', '-o', 'log_level=err'],
  ];
}

/** The real path of what is attached. Throws `MOUNT_CONFIG_INVALID` for another kind, and for what stays hidden. */
export function sourceOf(hostPath: string, kind: 'directory' | 'file', hide: readonly string[]): string {
  const source = hostFiles.realpath(hostPath);
  const fault = (text: string): Error =>
    new ErrMountInvalidConfig(`invalid mount config: ${hostPath} ${text}`);
  if (source === null) throw fault('does not exist on the host');
  const stats = statSync(source);
  if (kind === 'directory' ? !stats.isDirectory() : !stats.isFile()) throw fault(`is no ${kind}`);
  const owner = realPaths(hide, hostFiles).find(path => isWithin(source, path));
  if (owner !== undefined) throw fault(`is in the gateway's own ${owner}, which stays hidden`);
  return source;
}

/** The files of the disks, at their real paths. */
export function disksOf<T extends DiskFile & { readonly source: string }>(
  disks: readonly T[],
  hide: readonly string[],
): readonly T[] {
  return disks.map(disk => ({ ...disk, source: sourceOf(disk.source, 'file', hide) }));
}

function startServer(args: readonly string[]): ChildProcess {
  const tools = findTools();
  return spawn(tools.setpriv, ['--pdeathsig', 'KILL', '--', tools.bwrap, ...args], {
    cwd: '/',
    env: {},
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

async function socketOf(child: ChildProcess, socket: string, { hostPath }: Share): Promise<string> {
  let said = '';
  child.stderr?.on('data', chunk => {
    if (said.length < 2048) said += String(chunk);
  });
  const over = AbortSignal.timeout(START_TIMEOUT_MS);
  while (!existsSync(socket)) {
    if (child.exitCode !== null || child.signalCode !== null || over.aborted) {
      throw new ErrVMStartFailed(
        `${hostPath} cannot be served to the machine: ${said.trim() || 'no answer'}`,
      );
    }
    await delay(LOOK_AGAIN_MS);
  }
  return socket;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

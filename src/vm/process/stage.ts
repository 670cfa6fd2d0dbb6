/**
 * Where an image's root is put together, and where the programs start that lead commands into it: a mount namespace with
 * the host's files, in which nothing stays but a shell that waits (shell: starts processes, makes folders).
 *
 * The image is the lower layer of an overlay and is only read; what changes goes to `upper` in the machine's own folder.
 * The mount is in no namespace of the host, so it ends with the last process of the machine, whatever ends that. Where
 * the kernel refuses the overlay the root is a copy.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readlink, realpath, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { GatewayError } from '../../core/errors.js';
import { findProgram, keepDescriptors, SYSTEM_PATH } from '../../net/vestibule/index.js';
import { ErrVMStartFailed } from '../errors.js';
import { type Enclosure, intoArgs } from './join.js';
import { removeTree } from './root.js';

export interface StageOptions {
  readonly enclosure: Enclosure;
  /** The machine's own, kept until the sandbox is removed. */
  readonly folder: string;
  /** The image as a folder. */
  readonly lower: string;
  /** Whether what the last start left behind stays. */
  readonly persist: boolean;
}

export interface Stage {
  /** A process in the namespace. */
  readonly pid: number;
  /** The machine's own, without links on the way. */
  readonly folder: string;
  /** The root, as a process in the namespace sees it, and as the host does by way of that process. */
  readonly inside: string;
  readonly seen: string;
  /** Why the root is a copy; null for an overlay. */
  readonly copied: string | null;
  /** Gives the namespace the /proc of the machine, which `inside` is in: programs that join look themselves up there. */
  settle(inside: number): Promise<void>;
  /** Ends the process. Whoever has entered the namespace keeps it. */
  close(): void;
}

/**
 * Names are relative, so that none of the mount's options needs a quote. `userxattr`: the overlay's own marks are those
 * that an ordinary user may set.
 */
const SCRIPT = `
cd "$FOLDER" || exit 1
if [ -z "$COPY" ] && "$MOUNT" -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work,userxattr root
then echo overlay; else echo copy; fi
exec >/dev/null
read -r end || :
`;

/** Of a root that is a copy: it stays one. */
const COPIED = 'copied';

/** Throws `VM_START_FAILED`, `TOOL_MISSING`. */
export async function openStage({ enclosure, lower, persist, ...options }: StageOptions): Promise<Stage> {
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  // A link on the way would be followed from the host's root, where the overlay is not.
  const folder = await realpath(options.folder);
  await prepare(folder, lower, persist);
  const wasCopied = existsSync(join(folder, COPIED));
  const { pid, answer, said, close } = await startShell(enclosure, folder, wasCopied);
  try {
    if (answer !== 'overlay' && answer !== 'copy')
      throw new ErrVMStartFailed(`the root of the image cannot be put together: ${said}`);
    if (answer === 'copy' && !wasCopied) await copy(folder, said);
    const inside = join(folder, 'root');
    const copied = answer === 'overlay' ? null : said || 'it was one when it was made';
    const settle = (first: number): Promise<void> => mountProc(enclosure, pid, first);
    return { pid, folder, inside, seen: `/proc/${pid}/root${inside}`, copied, settle, close };
  } catch (error) {
    close();
    throw error;
  }
}

async function prepare(folder: string, lower: string, persist: boolean): Promise<void> {
  const link = join(folder, 'lower');
  const before = await readlink(link).catch(() => null);
  if (persist && before !== null && before !== lower) {
    throw new ErrVMStartFailed(
      'the image is another one than that which the changes were made to: remove the sandbox and make it again, or name the image by its digest',
    );
  }
  if (!persist)
    for (const name of ['upper', 'work', 'root', 'lower', COPIED]) await removeTree(join(folder, name));
  for (const name of ['upper', 'work', 'root']) {
    await mkdir(join(folder, name), { recursive: true });
    // The upper folder's mode is that of the root, whatever the umask is.
    await chmod(join(folder, name), 0o755);
  }
  if (!persist || before === null) await symlink(lower, link);
}

/** What a kernel changed in an overlay cannot be read without it, so a root is a copy from its first start or never. */
async function copy(folder: string, said: string): Promise<void> {
  const run = promisify(execFile);
  const env = { PATH: SYSTEM_PATH };
  const { stdout } = await run('ls', ['-A', join(folder, 'upper')], { env });
  if (stdout !== '')
    throw new ErrVMStartFailed(`the kernel refuses the overlay that the changes are in: ${said}`);
  await run('cp', ['-a', '--', `${folder}/lower/.`, join(folder, 'root')], { env });
  await writeFile(join(folder, COPIED), '');
}

/** A procfs shows the PID namespace of whoever mounts it. */
async function mountProc(enclosure: Enclosure, stagePid: number, inside: number): Promise<void> {
  const { tools, userNamespace } = enclosure;
  const user = userNamespace ? [`--user=/proc/${stagePid}/ns/user`, '--preserve-credentials'] : [];
  const into = [...user, `--mount=/proc/${stagePid}/ns/mnt`, `--pid=/proc/${inside}/ns/pid`, '--'];
  const args = [...into, programOf('mount'), '-t', 'proc', 'proc', '/proc'];
  try {
    await promisify(execFile)(tools.nsenter, args, { env: { PATH: SYSTEM_PATH, LC_ALL: 'C' } });
  } catch (cause) {
    throw new ErrVMStartFailed(`the sandbox's /proc cannot be mounted: ${String((cause as Error).message)}`, {
      cause,
    });
  }
}

function programOf(name: string): string {
  const file = findProgram(name);
  if (file !== null) return file;
  throw new GatewayError('TOOL_MISSING', `${name} is not installed: it comes with util-linux`);
}

interface Shell {
  readonly pid: number;
  readonly answer: string;
  /** What mount said, one line. */
  readonly said: string;
  close(): void;
}

async function startShell(enclosure: Enclosure, folder: string, copied: boolean): Promise<Shell> {
  const { tools } = enclosure;
  const mount = findProgram('mount');
  if (mount === null)
    throw new GatewayError('TOOL_MISSING', 'mount is not installed: it comes with util-linux');
  await keepDescriptors();
  const own = enclosure.pid === null && enclosure.userNamespace ? ['--user', '--map-root-user'] : [];
  const unshare = [tools.unshare, ...own, '--mount', '--', tools.sh, '-c', SCRIPT];
  const chain = [...intoArgs(tools, enclosure), ...unshare];
  const child = spawn(tools.setpriv, ['--pdeathsig', 'KILL', '--', ...chain], {
    cwd: '/',
    env: { FOLDER: folder, MOUNT: mount, COPY: copied ? 'yes' : '', PATH: SYSTEM_PATH, LC_ALL: 'C' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    if (said.length < MAX_SAID) said += chunk;
  });
  child.stdin.on('error', () => {}); // It has ended, and its answer says why.
  const failed = new Promise<never>((_, reject) => {
    child.once('error', cause => reject(new ErrVMStartFailed('the sandbox cannot start', { cause })));
  });
  const answer = await Promise.race([firstLine(child.stdout), failed]);
  // Each is the same process: setpriv, nsenter, unshare and the shell take one another's place.
  return {
    pid: child.pid ?? 0,
    answer,
    said: said.trim().replace(/\s+/g, ' '),
    close: () => void child.kill('SIGKILL'),
  };
}

const MAX_SAID = 1000;

async function firstLine(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream) {
    text += String(chunk);
    if (text.includes('\n')) break;
  }
  return text.trim();
}

/**
 * A guest's kernel and its modules, out of Debian's package (shell: runs apt-get and dpkg-deb, as an ordinary user).
 *
 * Taken from apt's cache where it is there already, else downloaded; nothing is installed.
 */
import { execFile } from 'node:child_process';
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { GatewayError } from '../../core/errors.js';
import { SYSTEM_PATH } from '../../net/vestibule/index.js';
import { needProgram } from './closure.js';
import { unpackKernel } from './vmlinux.js';

/** What the package is called, by the machine's processor. */
const META_PACKAGES = { x64: 'linux-image-cloud-amd64', arm64: 'linux-image-cloud-arm64' } as const;

export interface GuestKernel {
  /** The version, as `uname -r` says it. */
  readonly release: string;
  /** What QEMU's `-kernel` takes. */
  readonly image: string;
  /** Contents by the module's name, `virtio_net`. */
  readonly modules: ReadonlyMap<string, Buffer>;
}

const run = promisify(execFile);
const APT_CACHE = '/var/cache/apt/archives';

/** Puts the kernel into `folder` as `kernel`, and reads the modules that `wanted` names. */
export async function prepareKernel(
  folder: string,
  wanted: readonly string[],
  tell: (message: string) => void,
): Promise<GuestKernel> {
  const scratch = join(folder, 'package');
  await rm(scratch, { recursive: true, force: true });
  await mkdir(scratch, { recursive: true });
  try {
    const archive = await findPackage(scratch, tell);
    tell('unpacking the kernel');
    const root = join(scratch, 'root');
    await execute('dpkg-deb', ['-x', archive, root]);
    const release = await releaseIn(root);
    const image = join(folder, 'kernel');
    await writeKernel(join(root, 'boot', `vmlinuz-${release}`), image);
    return { release, image, modules: await readModules(join(root, 'lib', 'modules', release), wanted) };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function findPackage(scratch: string, tell: (message: string) => void): Promise<string> {
  const meta = META_PACKAGES[process.arch as keyof typeof META_PACKAGES];
  if (meta === undefined)
    throw new GatewayError('VM_CONFIG_INVALID', `no guest kernel is known for ${process.arch}`);
  const name = await realName(meta);
  const cached = (await namesIn(APT_CACHE)).find(
    file => file.startsWith(`${name}_`) && file.endsWith('.deb'),
  );
  if (cached !== undefined) {
    await copyFile(join(APT_CACHE, cached), join(scratch, cached));
    return join(scratch, cached);
  }
  tell(`downloading ${name}`);
  await execute('apt-get', ['-q', 'download', name], scratch);
  const got = (await namesIn(scratch)).find(file => file.endsWith('.deb'));
  if (got === undefined) throw new GatewayError('VM_START_FAILED', `apt-get downloaded no ${name}`);
  return join(scratch, got);
}

/** The package that the ever newest one depends on. */
async function realName(meta: string): Promise<string> {
  const stdout = await execute('apt-cache', ['depends', meta]);
  const name = /Depends: (linux-image-\S+)/.exec(stdout)?.[1];
  if (name !== undefined) return name;
  throw new GatewayError(
    'VM_START_FAILED',
    `apt does not know ${meta}: a guest's kernel comes from Debian's package. Mend it, as root, with \`apt-get update\`.`,
  );
}

async function releaseIn(root: string): Promise<string> {
  const [release] = await namesIn(join(root, 'lib', 'modules'));
  if (release === undefined)
    throw new GatewayError('VM_START_FAILED', "the kernel's package holds no modules");
  return release;
}

async function writeKernel(packed: string, image: string): Promise<void> {
  const bytes = await readFile(packed);
  // An ELF kernel starts without unpacking itself: a quarter of a second less where the processor is emulated.
  const kernel = process.arch === 'x64' ? await unpackKernel(bytes) : null;
  await writeFile(image, kernel ?? bytes);
}

/** Modules that are not there are built in, or not needed by this kernel. */
async function readModules(folder: string, wanted: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
  const files = await readdir(folder, { recursive: true });
  const modules = new Map<string, Buffer>();
  for (const name of wanted) {
    const file = files.find(path => moduleOf(path) === name);
    if (file !== undefined) modules.set(name, await readModule(join(folder, file)));
  }
  return modules;
}

function moduleOf(path: string): string {
  const [, name = ''] = /([^/]+)\.ko(\.(xz|zst|gz))?$/.exec(path) ?? [];
  return name.replaceAll('-', '_');
}

async function readModule(file: string): Promise<Buffer> {
  if (file.endsWith('.ko')) return await readFile(file);
  const tool = { xz: 'xz', zst: 'zstd', gz: 'gzip' }[file.split('.').at(-1) ?? ''] ?? 'xz';
  const { stdout } = await run(needProgram(tool), ['-dc', file], { encoding: 'buffer', maxBuffer: 1 << 26 });
  return stdout;
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch {
    return []; // not there, or not for us to see: nothing to be taken from it
  }
}

async function execute(program: string, args: readonly string[], cwd = '/'): Promise<string> {
  try {
    const env = { PATH: SYSTEM_PATH, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
    const { stdout } = await run(needProgram(program), [...args], { cwd, env, maxBuffer: 1 << 24 });
    return stdout;
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause;
    const said = String((cause as { stderr?: string }).stderr ?? cause).trim();
    throw new GatewayError('VM_START_FAILED', `${program} ${args[0]} failed: ${said.split('\n').at(-1)}`, {
      cause,
    });
  }
}

/** Programs of this machine with what they load, to be taken into a guest (shell: asks the dynamic linker). */
import { execFile } from 'node:child_process';
import { readFile, realpath } from 'node:fs/promises';
import { promisify } from 'node:util';
import { GatewayError } from '../../core/errors.js';
import { findProgram, SYSTEM_PATH } from '../../net/vestibule/index.js';
import { type CpioMember, FILE, PROGRAM } from './cpio.js';

const run = promisify(execFile);
const QUIET = { env: { PATH: SYSTEM_PATH, LC_ALL: 'C' }, maxBuffer: 1 << 20 };

/** The package that has each program, as Debian calls it. */
const PACKAGES: ReadonlyMap<string, string> = new Map([
  ['busybox', 'busybox-static'],
  ['perl', 'perl-base'],
  ['curl', 'curl'],
  ['qemu-system-x86_64', 'qemu-system-x86'],
  ['qemu-system-aarch64', 'qemu-system-arm'],
  ['dpkg-deb', 'dpkg'],
  ['apt-get', 'apt'],
  ['xz', 'xz-utils'],
  ['sqfstar', 'squashfs-tools'],
  ['unsquashfs', 'squashfs-tools'],
  ['tar', 'tar'],
]);

/** Absolute path of a program that a machine needs. Throws `TOOL_MISSING` with the command that installs it. */
export function needProgram(name: string): string {
  const file = findProgram(name);
  if (file !== null) return file;
  const install = `apt-get install -y --no-install-recommends ${PACKAGES.get(name) ?? name}`;
  throw new GatewayError(
    'TOOL_MISSING',
    `a machine needs ${name}, which is not installed. Mend it, as root, with \`${install}\`.`,
  );
}

/** `file` and the shared libraries that it asks for, each at its own path. */
export async function closureOf(file: string): Promise<readonly CpioMember[]> {
  const paths = new Set([file, ...(await librariesOf(file))]);
  return await Promise.all([...paths].map(path => memberOf(path)));
}

/** Empty for a static program. */
export async function librariesOf(file: string): Promise<readonly string[]> {
  try {
    const { stdout } = await run('ldd', [file], QUIET);
    return Array.from(stdout.matchAll(/(?:=> |^\s+)(\/[^ ]+) \(0x/gm), ([, path = '']) => path);
  } catch {
    return []; // "not a dynamic executable" is a failure to ldd
  }
}

/** Under `path`, what is really there: links on the way are followed. */
export async function memberOf(path: string, mode?: number): Promise<CpioMember> {
  const real = await realpath(path);
  const content = await readFile(real);
  const program = /\/s?bin\/|\.so(\.|$)|\/ld-/.test(path);
  return { path: path.slice(1), mode: mode ?? (program ? PROGRAM : FILE), content };
}

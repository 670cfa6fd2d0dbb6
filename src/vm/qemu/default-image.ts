/**
 * The image that needs no download: busybox, curl and the authorities that this machine trusts (shell: builds it).
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { GatewayError } from '../../core/errors.js';
import { SYSTEM_PATH } from '../../net/vestibule/index.js';
import { closureOf, memberOf, needProgram } from './closure.js';
import { type CpioMember, FILE, PROGRAM } from './cpio.js';

const run = promisify(execFile);
const QUIET = { env: { PATH: SYSTEM_PATH, LC_ALL: 'C' } };

const FOLDERS = [
  'dev',
  'proc',
  'sys',
  'run',
  'tmp',
  'root',
  'home',
  'mnt',
  'opt',
  'srv',
  'var/log',
  'var/tmp',
  'workspace',
  'usr/local/bin',
  'etc/ssl/certs',
];
/** As Debian has it: one folder for programs, one for libraries. */
const MERGED = ['bin', 'sbin', 'lib', 'lib64'];

const TEXTS: ReadonlyMap<string, string> = new Map([
  [
    'etc/passwd',
    'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\nuser:x:1000:1000:user:/home/user:/bin/sh\n',
  ],
  ['etc/group', 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\nuser:x:1000:\n'],
  ['etc/shells', '/bin/sh\n'],
  ['etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n'],
  ['etc/os-release', 'ID=sallyport\nNAME="Sallyport default image"\nPRETTY_NAME="Sallyport default image"\n'],
  ['etc/profile', 'export PS1="# "\n'],
]);

/** Where machines of Debian and its relatives, of Fedora and of SUSE keep what they trust. */
const BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
];

/** Writes the file system image to `file`, as squashfs. */
export async function buildDefaultImage(file: string, tell: (message: string) => void): Promise<void> {
  const tree = `${file}.tree`;
  await rm(tree, { recursive: true, force: true });
  try {
    tell('collecting busybox, curl and the trusted authorities');
    await writeTree(tree);
    tell('packing the file system');
    await pack(tree, `${file}.part`);
    await rename(`${file}.part`, file);
  } finally {
    await rm(tree, { recursive: true, force: true });
    await rm(`${file}.part`, { force: true });
  }
}

async function writeTree(tree: string): Promise<void> {
  for (const folder of FOLDERS) await mkdir(join(tree, folder), { recursive: true });
  for (const name of MERGED) {
    await mkdir(join(tree, 'usr', name), { recursive: true });
    await symlink(`usr/${name}`, join(tree, name));
  }
  for (const [path, text] of TEXTS) await writeFile(join(tree, path), text);
  for (const member of await programs()) await writeMember(tree, member);
  await writeFile(join(tree, 'etc/ssl/certs/ca-certificates.crt'), await trusted());
  await mkdir(join(tree, 'usr/lib/ssl'), { recursive: true });
  await symlink('/etc/ssl/certs', join(tree, 'usr/lib/ssl/certs'));
  await mkdir(join(tree, 'home/user'));
  for (const path of ['tmp', 'var/tmp']) await chmod(join(tree, path), 0o1777);
  await chmod(join(tree, 'root'), 0o700);
}

async function programs(): Promise<readonly CpioMember[]> {
  const busybox = needProgram('busybox');
  const box = await memberOf(busybox, PROGRAM);
  const { stdout } = await run(busybox, ['--list-full'], QUIET);
  const applets = stdout
    .split('\n')
    .filter(path => /^(usr\/)?s?bin\/[\w.[-]+$/.test(path) && !path.endsWith('/busybox'));
  return [
    { ...box, path: 'bin/busybox' },
    ...applets.map(path => ({ path, mode: 0o120777, content: Buffer.from('/bin/busybox') })),
    ...(await closureOf(needProgram('curl'))),
  ];
}

async function writeMember(tree: string, { path, mode, content }: CpioMember): Promise<void> {
  const place = join(tree, path);
  await mkdir(dirname(place), { recursive: true });
  // A program of this machine goes before the applet of the same name.
  await rm(place, { force: true });
  if (mode === 0o120777) return await symlink(Buffer.from(content).toString(), place);
  await writeFile(place, content);
  await chmod(place, mode & 0o777 || FILE & 0o777);
}

async function trusted(): Promise<string> {
  for (const bundle of BUNDLES) {
    const pem = await readFile(bundle, 'utf8').catch(() => null);
    if (pem !== null) return pem;
  }
  return ''; // a machine without authorities: the guest trusts the gateway's alone
}

/** By way of an archive, in which everything belongs to root whoever runs this. */
async function pack(tree: string, file: string): Promise<void> {
  await rm(file, { force: true });
  const owner = ['--owner=0', '--group=0', '--numeric-owner', '--sort=name', '--mtime=@0'];
  const tar = spawn(needProgram('tar'), [...owner, '-C', tree, '-cf', '-', '.'], {
    ...QUIET,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const star = spawn(
    needProgram('sqfstar'),
    ['-comp', 'lz4', '-quiet', '-no-progress', '-mkfs-time', '0', file],
    {
      ...QUIET,
      stdio: [tar.stdout, 'ignore', 'pipe'],
    },
  );
  let said = '';
  star.stderr?.on('data', chunk => {
    said += String(chunk);
  });
  // Its reader has a copy of the pipe; ours would keep it open.
  tar.stdout?.destroy();
  const [code] = (await once(star, 'close')) as [number | null];
  if (code !== 0) throw new GatewayError('VM_START_FAILED', `sqfstar failed: ${said.trim()}`);
}

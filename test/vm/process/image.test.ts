import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Machine, VMConfig } from '../../../src/vm/backend.js';
import { processBackend } from '../../../src/vm/process/backend.js';
import { removeTree } from '../../../src/vm/process/root.js';
import type { Spec } from '../../support/tar.js';
import { machineContract } from '../contract.js';
import { openDoor } from '../door.js';
import { busyboxMembers, imageContract, writeLayout } from '../image-contract.js';
import { guestHome } from '../qemu/stage.js';

const folders: string[] = [];
afterAll(async () => {
  await Promise.all(folders.map(removeTree));
});

function temporary(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `sallyport-${name}-`));
  folders.push(folder);
  return folder;
}

function configOf(overrides: Partial<VMConfig> = {}): VMConfig {
  return {
    id: 'test',
    stateDir: temporary('machine'),
    homeDir: guestHome(),
    image: 'default',
    persist: false,
    privileged: false,
    resources: { cpus: 1, memoryMb: 512, diskSizeMb: 5120, timeoutSeconds: 300 },
    vfs: {},
    extraDisks: [],
    env: new Map(),
    door: null,
    hostname: 'machine',
    addHosts: [{ host: 'pinned.test', ip: '192.0.2.7' }],
    searchDomains: [],
    portForwards: [],
    hide: [],
    ...overrides,
  };
}

async function open(overrides: Partial<VMConfig> = {}): Promise<Machine> {
  const machine = await processBackend.create(configOf(overrides));
  try {
    await machine.start();
    return machine;
  } catch (error) {
    await machine.close();
    throw error;
  }
}

machineContract({ name: 'processes of an image', open });

imageContract({ name: 'processes of an image', open, temporary });

function layoutWith(
  members: readonly Spec[],
  config: Readonly<Record<string, unknown>> = {},
  applets?: readonly string[],
): string {
  return writeLayout(temporary('layout'), [...busyboxMembers(applets), ...members], config);
}

const own = (path: string): Partial<VMConfig> => ({
  image: '',
  localBundlePath: path,
  homeDir: temporary('home'),
});

describe('a machine of processes, made of an image', () => {
  test('has the image’s files and none of the host, and no capability', async () => {
    await using machine = await open();
    const { stdout } = await machine.exec(
      'ls -d /etc/debian_version /work /etc/shadow 2>/dev/null; grep -i "^cap\\|^NoNew\\|^Seccomp:" /proc/self/status; head -1 /proc/1/status',
    );
    expect(stdout.replace(/\t/g, ' ')).toBe(
      ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map(name => `${name}: 0000000000000000\n`).join('') +
        'NoNewPrivs: 1\nSeccomp: 2\nName: bwrap\n',
    );
  });

  test('a command in it cannot look into those that lead others in', async () => {
    await using machine = await open();
    const spy =
      'n=0; while [ $n -lt 150 ]; do n=$((n+1)); for p in /proc/[0-9]*; do ls $p/root/etc/debian_version $p/root/usr/share/doc 2>/dev/null; r=$(readlink $p/exe 2>/dev/null); case "$r" in *nsenter*|*bwrap*|*/enter) echo open $r;; esac; done; done';
    const [spied] = await Promise.all([
      machine.exec(spy),
      ...Array.from({ length: 12 }, () => machine.exec('true')),
    ]);
    expect(spied.stdout).toBe('');
  });

  test('knows the users that were added while it runs, and their homes', async () => {
    await using machine = await open(
      own(layoutWith([{ name: 'etc/passwd', content: 'root:x:0:0::/root:\n' }])),
    );
    await expect(machine.exec('true', { user: 'later' })).rejects.toMatchObject({
      code: 'VM_CONFIG_INVALID',
    });
    await machine.exec('echo later:x:77:78::/home/later: >>/etc/passwd');
    const { stdout } = await machine.exec('id -u; id -g; echo $HOME', { user: 'later' });
    expect(stdout).toBe('77\n78\n/home/later\n');
    expect((await machine.exec('env', { args: [] })).stdout).toContain('PWD=/workspace\n');
  });

  test('needs no shell of the image', async () => {
    await using machine = await open(own(layoutWith([], {}, [])));
    expect((await machine.exec('/bin/busybox', { args: ['echo', 'alone'] })).stdout).toBe('alone\n');
    await expect(machine.exec('true')).rejects.toMatchObject({ code: 'COMMAND_NOT_FOUND' });
  });

  test('has the resolver, the hosts, the authority and the placeholders of its door', async () => {
    const pem = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
    await using door = await openDoor();
    await using machine = await open({
      door: {
        cell: door.cell,
        tap: null,
        caPem: pem,
        secretEnv: new Map([['TOKEN', 'GWPH_0']]),
        trustFiles: [],
        trustEnv: new Map(),
      },
    });
    const { stdout } = await machine.exec(
      'cat /etc/resolv.conf; grep pinned /etc/hosts; tail -3 /etc/ssl/certs/ca-certificates.crt; cat $NODE_EXTRA_CA_CERTS; echo $TOKEN; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d " \\n"',
    );
    expect(stdout).toBe(`nameserver 198.19.255.253\n192.0.2.7 pinned.test\n${pem}${pem}GWPH_0\nloeth0`);
  });

  test('keeps what changed with persist, and throws it away without; the image stays as it is', async () => {
    const layout = layoutWith([{ name: 'data/old', content: 'old\n' }]);
    const shared = { ...own(layout), stateDir: temporary('machine'), persist: true };
    const first = await open(shared);
    await first.exec('echo new >/data/new; echo changed >/data/old; : >/tmp/gone');
    await first.close();
    const second = await open(shared);
    expect((await second.exec('cat /data/new /data/old; ls /tmp')).stdout).toBe('new\nchanged\n');
    await second.close();
    const fresh = await open({ ...shared, persist: false });
    expect((await fresh.exec('ls /data; cat /data/old')).stdout).toBe('old\nold\n');
    await fresh.close();
    const other = layoutWith([{ name: 'data/old', content: 'another image\n' }]);
    await open({ ...shared, persist: true }).then(machine => machine.close());
    await expect(open({ ...shared, localBundlePath: other })).rejects.toMatchObject({
      code: 'VM_START_FAILED',
    });
  });

  test('mounts folders and files of the host where the image’s links lead, inside the image', async () => {
    const shared = temporary('shared');
    writeFileSync(join(shared, 'file'), 'of the host\n');
    const layout = layoutWith([
      { name: 'srv', type: 'symlink', link: `../../..${shared}` },
      { name: `${shared.slice(1)}/inner`, content: 'of the image\n' },
    ]);
    await using machine = await open({
      ...own(layout),
      vfs: {
        directMounts: {
          '/srv/x': { hostPath: shared },
          '/one': { hostPath: join(shared, 'file'), readonly: true },
        },
      },
    });
    expect((await machine.exec('cat /srv/x/file /srv/inner /one')).stdout).toBe(
      'of the host\nof the image\nof the host\n',
    );
    expect(readdirSync(shared)).toEqual(['file']);
  });
});

describe('a hostile image', () => {
  const outside = temporary('outside');
  mkdirSync(join(outside, 'folder'));
  writeFileSync(join(outside, 'file'), 'untouched');

  test.each([
    ['/etc', [{ name: 'etc', type: 'symlink', link: outside }]],
    [
      '/etc by way of the folder above',
      [{ name: 'etc', type: 'symlink', link: `../../../../../..${outside}` }],
    ],
    ['/run', [{ name: 'run', type: 'symlink', link: outside }]],
    ['/tmp', [{ name: 'tmp', type: 'symlink', link: outside }]],
    ['/proc', [{ name: 'proc', type: 'symlink', link: outside }]],
    ['/workspace', [{ name: 'workspace', type: 'symlink', link: outside }]],
    ['/etc/hosts', [{ name: 'etc/hosts', type: 'symlink', link: join(outside, 'file') }]],
    [
      '/etc/resolv.conf',
      [{ name: 'etc/resolv.conf', type: 'symlink', link: `/proc/self/root${outside}/file` }],
    ],
    ['itself at /etc', [{ name: 'etc', type: 'symlink', link: 'etc' }]],
  ] as const)(
    'with a link at %s changes nothing of the host, and starts in its own root or not at all',
    async (_at, members) => {
      const machine = await open(own(layoutWith([...members]))).catch(error => {
        expect(error).toMatchObject({ code: 'VM_START_FAILED' });
        return null;
      });
      const seen = await machine?.exec('cat /etc/hosts /etc/resolv.conf');
      await machine?.close();
      expect(seen?.stdout ?? '').not.toContain('untouched');
      expect(readFileSync(join(outside, 'file'), 'utf8')).toBe('untouched');
      expect(readdirSync(outside)).toEqual(['file', 'folder']);
      expect(readdirSync(join(outside, 'folder'))).toEqual([]);
    },
  );

  test('brings no library into the programs that lead into it', async () => {
    const layout = layoutWith(
      [
        { name: 'etc/ld.so.preload', content: '/evil.so\n' },
        { name: 'evil.so', content: 'no library', mode: 0o755 },
      ],
      { Env: ['LD_PRELOAD=/evil.so', `LD_LIBRARY_PATH=${outside}`] },
    );
    await using machine = await open(own(layout));
    expect(await machine.exec('echo ran')).toMatchObject({ stdout: 'ran\n', stderr: '', exitCode: 0 });
  });
});

/** As in a container of Docker's: an overlay cannot be the upper layer of an overlay. */
const mayMount = process.getuid?.() === 0;
(mayMount ? test : test.skip)(
  'where the kernel refuses the overlay the root is a copy, and it is said (needs root to mount)',
  async () => {
    const base = temporary('base');
    for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(join(base, name));
    const merged = join(base, 'merged');
    execFileSync('mount', [
      '-t',
      'overlay',
      'overlay',
      '-o',
      `lowerdir=${base}/lower,upperdir=${base}/upper,workdir=${base}/work`,
      merged,
    ]);
    try {
      const shared = {
        ...own(layoutWith([{ name: 'data', content: 'of the image\n' }])),
        stateDir: join(merged, 'state'),
      };
      const first = await open({ ...shared, persist: true });
      expect(first.notes).toEqual([expect.stringContaining('the root is a copy of the image')]);
      expect((await first.exec('cat /data; echo kept >/kept')).stdout).toBe('of the image\n');
      await first.close();
      const second = await open({ ...shared, persist: true });
      expect((await second.exec('cat /kept')).stdout).toBe('kept\n');
      await second.close();
      expect(existsSync(join(shared.homeDir ?? '', 'kept'))).toBe(false);
    } finally {
      execFileSync('umount', [merged]);
    }
  },
);

import { once } from 'node:events';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Machine, VMConfig } from '../../../src/vm/backend.js';
import { processBackend } from '../../../src/vm/process/backend.js';
import { removeTree } from '../../../src/vm/process/root.js';
import { machineContract } from '../contract.js';
import { openDoor } from '../door.js';

const folders: string[] = [];
afterAll(async () => {
  await Promise.all(folders.map(removeTree));
});

function configOf(overrides: Partial<VMConfig> = {}): VMConfig {
  const stateDir = mkdtempSync(join(tmpdir(), 'sallyport-machine-'));
  folders.push(stateDir);
  return {
    id: 'test',
    stateDir,
    homeDir: stateDir,
    image: '',
    persist: false,
    privileged: false,
    resources: { cpus: 1, memoryMb: 512, diskSizeMb: 5120, timeoutSeconds: 300 },
    vfs: {},
    extraDisks: [],
    env: new Map(),
    door: null,
    hostname: 'machine',
    addHosts: [],
    searchDomains: [],
    portForwards: [],
    hide: [],
    ...overrides,
  };
}

async function open(overrides: Partial<VMConfig> = {}): Promise<Machine> {
  const machine = await processBackend.create(configOf(overrides));
  await machine.start();
  return machine;
}

machineContract({ name: 'process', open });

const temporary = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-mounted-'));
  folders.push(folder);
  return folder;
};

describe('a machine of this host’s programs', () => {
  test('sees its own root, the programs of the host read-only, and nothing else of it', async () => {
    await using machine = await open();
    const { stdout } = await machine.exec('ls -A /; ls -A /root /home /srv /run');
    expect(stdout.split('\n')).not.toContain('work');
    const write = await machine.exec('touch /usr/x /etc/x /bin/x; touch /root/x /srv/x && echo own');
    expect(write.stdout).toBe('own\n');
    const shadow = await machine.exec('cat /etc/shadow');
    expect(shadow).toMatchObject({ stdout: '' });
  });

  test('has no interface but lo where it has no door, and no capability', async () => {
    await using machine = await open();
    const { stdout } = await machine.exec(
      "tail -n +3 /proc/net/dev | cut -d: -f1; grep -i 'cap[pe]' /proc/self/status",
    );
    expect(stdout.replace(/\s+/g, ' ').trim()).toBe('lo CapPrm: 0000000000000000 CapEff: 0000000000000000');
    const raw = await machine.exec('unshare --user true');
    expect(raw.exitCode).not.toBe(0);
  });

  test('keeps what one command left for the next, and what it left running', async () => {
    await using machine = await open();
    await machine.exec(
      'echo kept >/workspace/a; echo kept >/opt/b 2>/dev/null; echo kept >/run/c; (sleep 1000 & echo $! >/tmp/pid)',
    );
    const { stdout } = await machine.exec('cat a /run/c; kill -0 $(cat /tmp/pid) && echo alive');
    expect(stdout).toBe('kept\nkept\nalive\n');
  });

  test('has its name, and the hosts that the operator names', async () => {
    await using machine = await open({
      hostname: 'box',
      addHosts: [{ host: 'db.internal', ip: '10.1.2.3' }],
    });
    const { stdout } = await machine.exec('hostname; getent hosts db.internal box');
    expect(stdout.replace(/ +/g, ' ')).toBe('box\n10.1.2.3 db.internal\n127.0.1.1 box\n');
  });

  test('mounts folders and files of the host, writable or not, and memory', async () => {
    const [readable, writable] = [temporary(), temporary()];
    writeFileSync(join(readable, 'file'), 'of the host');
    await using machine = await open({
      vfs: {
        directMounts: {
          '/workspace/ro': { hostPath: readable, readonly: true },
          '/data/rw': { hostPath: writable },
          '/data/one': { hostPath: join(readable, 'file'), readonly: true },
        },
        mounts: {
          '/scratch': { type: 'memory' },
          '/again': { type: 'real_fs', hostPath: readable, readonly: true },
        },
      },
    });
    const { stdout } = await machine.exec(
      'cat ro/file /data/one /again/file; echo; touch ro/x /again/x 2>/dev/null || echo refused; echo new >/data/rw/x; touch /scratch/y && stat -f -c %T /scratch',
    );
    expect(stdout).toBe('of the hostof the hostof the host\nrefused\ntmpfs\n');
    expect(readFileSync(join(writable, 'x'), 'utf8')).toBe('new\n');
  });

  test('runs a program out of memory, where the host cannot look', async () => {
    await using machine = await open({ vfs: { mounts: { '/scratch': { type: 'memory' } } } });
    await machine.exec("printf '#!/bin/sh\\necho ran\\n' >/scratch/x; chmod 755 /scratch/x");
    expect((await machine.exec('/scratch/x', { args: [] })).stdout).toBe('ran\n');
  });

  test.each([
    ['an image that is not here', { image: 'debian:12' }, 'IMAGE_NOT_FOUND'],
    ['a disk', { extraDisks: [{ hostPath: '/x', guestMount: '/y' }] }, 'VM_CONFIG_INVALID'],
    [
      'a mount of what is not there',
      { vfs: { directMounts: { '/x': { hostPath: '/no/such' } } } },
      'MOUNT_CONFIG_INVALID',
    ],
    ['an overlay', { vfs: { mounts: { '/x': { type: 'overlay' } } } }, 'MOUNT_CONFIG_INVALID'],
    [
      'a mount of what is hidden',
      { vfs: { directMounts: { '/x': { hostPath: '/etc' } } }, hide: ['/etc'] },
      'CONFIG_INVALID',
    ],
  ] as const)('refuses %s before anything runs', async (_name, overrides, code) => {
    await expect(processBackend.create(configOf(overrides))).rejects.toMatchObject({ code });
  });

  test('starts afresh, or where it stopped with persist; a link left behind leads no mount astray', async () => {
    const shared = { persist: true, stateDir: temporary() };
    const first = await open(shared);
    await first.exec(
      'echo kept >/workspace/a; mkdir -m 0 /srv/closed; rm -rf /mnt/x; mkdir -p /data; ln -s /oldroot/etc /data/inner',
    );
    await first.close();
    const second = await open(shared);
    expect((await second.exec('cat a')).stdout).toBe('kept\n');
    await second.close();
    const astray = await processBackend.create(
      configOf({ ...shared, vfs: { directMounts: { '/data/inner/x': { hostPath: '/usr' } } } }),
    );
    await expect(astray.start()).rejects.toMatchObject({ code: 'VM_START_FAILED' });
    await astray.close();
    const fresh = await open({ ...shared, persist: false });
    expect((await fresh.exec('cat a; ls /data')).stdout).toBe('');
    await fresh.close();
  });

  test('ends with its holder, and says so', async () => {
    await using machine = await open();
    const waiting = machine.wait();
    process.kill(machine.pid ?? 0, 'SIGKILL');
    expect(await waiting).toMatchObject({ reason: 'ended' });
    await expect(machine.exec('true')).rejects.toMatchObject({ code: 'VM_NOT_RUNNING' });
  });

  test('a command in it cannot look into those that lead others in', async () => {
    await using machine = await open();
    // Every process that this one can see, and whether its memory or descriptors open to it.
    const spy =
      'for i in $(seq 200); do for p in /proc/[0-9]*; do r=$(readlink $p/exe 2>/dev/null); case "$r" in *nsenter*|*setpriv*) ls $p/fd >/dev/null 2>&1 && echo open $r;; esac; done; done';
    const [spied] = await Promise.all([
      machine.exec(spy),
      ...Array.from({ length: 12 }, () => machine.exec('true')),
    ]);
    expect(spied.stdout).toBe('');
  });
});

describe('a machine behind a door', () => {
  test('reaches the gateway and nothing else, with its trust in place', async () => {
    await using door = await openDoor();
    await using machine = await open({
      door: {
        cell: door.cell,
        tap: null,
        caPem: 'PEM',
        secretEnv: new Map([['TOKEN', 'GWPH_0']]),
        trustFiles: [{ path: '/run/sallyport/ca.pem', content: Buffer.from('authority') }],
        trustEnv: new Map([['NODE_EXTRA_CA_CERTS', '/run/sallyport/ca.pem']]),
      },
    });
    const { stdout } = await machine.exec(
      'cat $NODE_EXTRA_CA_CERTS; echo; echo $TOKEN; cat /etc/resolv.conf; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d " \\n"',
    );
    expect(stdout).toContain('authority\nGWPH_0\nnameserver 198.19.255.253\n');
    expect(stdout).toMatch(/loeth0$/);
  });

  test('is reached by the ports that lead into it, and by none once it has ended', async () => {
    await using door = await openDoor();
    const machine = await open({
      door: {
        cell: door.cell,
        tap: null,
        caPem: 'PEM',
        secretEnv: new Map(),
        trustFiles: [],
        trustEnv: new Map(),
      },
      portForwards: [{ hostPort: 0, guestPort: 7001 }],
    });
    const serving = await machine.execStream(
      `perl -e 'socket(S,2,1,6);bind(S,pack("Sna4x8",2,7001,"\\0"x4));listen(S,5);print "up";$|=1;print "\n";while(accept(C,S)){print C "from inside";close(C)}'`,
    );
    await once(serving.stdout, 'data');
    const port = machine.forwards[0]?.hostPort ?? 0;
    expect(await text(connect(port, '127.0.0.1'))).toBe('from inside');
    await machine.close();
    expect(machine.forwards).toEqual([]);
    const [error] = await once(connect(port, '127.0.0.1'), 'error');
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
  });
});

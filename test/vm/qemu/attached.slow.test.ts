import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { ForwardEvent } from '../../../src/net/forwards/index.js';
import { TAP_LEASE, type Vestibule } from '../../../src/net/vestibule/index.js';
import type { Machine } from '../../../src/vm/backend.js';
import { makeTestCa } from '../../support/certificates.js';
import { openDoor } from '../door.js';
import { createMachine, removeFolders } from './stage.js';

/** One guest with all that can be attached to it. */
let dir: string;
let door: Vestibule;
let machine: Machine;
const events: ForwardEvent[] = [];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-attached-'));
  for (const name of ['own', 'own/hidden', 'read', 'lower']) mkdirSync(join(dir, name));
  writeFileSync(join(dir, 'own/hidden/key'), 'of the gateway');
  writeFileSync(join(dir, 'own/file'), 'from the host');
  writeFileSync(join(dir, 'outside'), 'not for the guest');
  symlinkSync(join(dir, 'outside'), join(dir, 'own/link'));
  writeFileSync(join(dir, 'read/file'), 'only to be read');
  writeFileSync(join(dir, 'lower/file'), 'from below');
  makeDisk('disk.img');
  makeDisk('fixed.img');
  door = await openDoor({ tap: TAP_LEASE });
  machine = await createMachine({
    door: {
      cell: door.cell,
      tap: door.tap,
      caPem: makeTestCa().certPem,
      secretEnv: new Map(),
      trustFiles: [],
      trustEnv: new Map(),
    },
    hide: [join(dir, 'own/hidden')],
    vfs: {
      directMounts: { '/data': { hostPath: join(dir, 'own') } },
      mounts: {
        '/read': { type: 'real_fs', hostPath: join(dir, 'read'), readonly: true },
        '/scratch': { type: 'memory' },
        '/both': {
          type: 'overlay',
          lower: { type: 'real_fs', hostPath: join(dir, 'lower') },
          upper: { type: 'memory' },
        },
      },
    },
    extraDisks: [
      { hostPath: join(dir, 'disk.img'), guestMount: '/disk' },
      { hostPath: join(dir, 'fixed.img'), guestMount: '/fixed', readonly: true },
    ],
    portForwards: [
      { hostPort: 0, guestPort: 7001 },
      { hostPort: 0, guestPort: 7002, protocol: 'udp' },
    ],
    onForward: event => events.push(event),
  });
  await machine.start();
});

afterAll(async () => {
  await machine?.close();
  await door?.close();
  rmSync(dir, { recursive: true, force: true });
  removeFolders();
});

function makeDisk(name: string): void {
  const path = join(dir, name);
  expect(spawnSync('mke2fs', ['-q', '-t', 'ext4', '-E', 'root_owner=0:0', path, '16M']).status).toBe(0);
}

const sh = async (command: string): Promise<string> => {
  const { stdout, stderr } = await machine.exec(command);
  return stdout + stderr;
};

test('a guest reads and writes a folder of the host, and nothing by a link out of it', async () => {
  expect(
    await sh('cat /data/file; echo from the guest >/data/new; mkdir /data/d; mv /data/new /data/d/'),
  ).toBe('from the host');
  expect(readFileSync(join(dir, 'own/d/new'), 'utf8')).toBe('from the guest\n');
  expect(await sh('cat /data/link')).not.toContain('not for the guest');
  expect(await sh('ls -A /data/hidden; cat /data/hidden/key')).not.toMatch(/of the gateway|^key/m);
});

test('a guest cannot write a folder that is only to be read, root or not', async () => {
  expect(await sh('cat /read/file')).toBe('only to be read');
  expect(await sh('echo x >/read/file; mount -o remount,rw /read; echo x >/read/file')).toMatch(/Read-only/i);
  expect(readFileSync(join(dir, 'read/file'), 'utf8')).toBe('only to be read');
});

test('an overlay shows what is below, and keeps what is written from the host', async () => {
  expect(
    await sh('cat /both/file; echo over >/both/file; echo new >/both/new; rm /both/file; ls /both'),
  ).toBe('from belownew\n');
  expect(readFileSync(join(dir, 'lower/file'), 'utf8')).toBe('from below');
});

test('a mount in memory is empty and can be written', async () => {
  expect(await sh('ls -A /scratch; echo x >/scratch/x && cat /scratch/x')).toBe('x\n');
});

test('an extra disk keeps what is written, and one to be read takes nothing', async () => {
  expect(await sh('echo kept >/disk/kept && sync && cat /disk/kept')).toBe('kept\n');
  expect(await sh('echo x >/fixed/x')).toMatch(/Read-only/i);
});

test('a port of the host leads to the guest, and each half of a connection ends alone', async () => {
  const serving = await machine.execStream('nc -l -p 7001 -e wc -c');
  const hostPort = machine.forwards[0]?.hostPort ?? 0;
  expect(machine.forwards[0]).toMatchObject({ hostIp: '127.0.0.1', guestPort: 7001, protocol: 'tcp' });
  await listening(7001);
  const socket = connect({ host: '127.0.0.1', port: hostPort, allowHalfOpen: true });
  socket.end(Buffer.alloc(1_000_000));
  expect((await text(socket)).trim()).toBe('1000000');
  serving.kill('SIGKILL');
  expect(events.find(event => event.type === 'opened')).toMatchObject({
    forward: { hostPort, guestPort: 7001 },
  });
});

test('a datagram comes to the guest by the host’s port, and its answer back', async () => {
  const libraries = [
    ...spawnSync('ldd', ['/usr/bin/perl'], { encoding: 'utf8' }).stdout.matchAll(/(\/\S+) \(/g),
  ];
  for (const path of ['/usr/bin/perl', ...libraries.map(([, path = '']) => path)]) {
    await machine.writeFile(join('/srv', basename(path)), readFileSync(path), { mode: 0o755 });
  }
  const serving = await machine.execStream(`LD_LIBRARY_PATH=/srv /srv/perl -e '${ECHO}'`);
  const socket = createSocket('udp4');
  socket.connect(machine.forwards[1]?.hostPort ?? 0, '127.0.0.1');
  await once(socket, 'connect');
  const answered = once(socket, 'message');
  const again = setInterval(() => socket.send('ping'), 100);
  const [bytes] = await answered;
  clearInterval(again);
  socket.close();
  expect(String(bytes)).toBe('ping');
  serving.kill('SIGKILL');
});

/** Of the language alone, without a module: the guest has none. */
const ECHO =
  'socket(S,2,2,17);bind(S,pack("Sna4x8",2,7002,"\\0"x4));while(defined($p=recv(S,$m,999,0))){send(S,$m,0,$p)}';

/** Waits until the guest listens on `port`. */
async function listening(port: number): Promise<void> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  for (let tries = 0; tries < 100; tries += 1) {
    if ((await sh('cat /proc/net/tcp /proc/net/tcp6')).includes(`:${hex} `)) return;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  throw new Error('nobody listens');
}

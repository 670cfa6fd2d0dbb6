import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { TAP_LEASE } from '../../../src/net/vestibule/index.js';
import type { Machine } from '../../../src/vm/backend.js';
import { ImageStore } from '../../../src/vm/images/index.js';
import { certificatesOf } from '../../../src/vm/trust/jks.js';
import { type FrameBench, openBench } from '../../support/corpus/frame-cases.js';
import { makeTestCa } from '../../support/tls.js';
import { createMachine, guestHome, removeFolders } from './stage.js';

/** A guest of another making: one root file system with the places of every distribution, of busybox alone. */
const own = makeTestCa();
const known = makeTestCa();
const home = mkdtempSync(join(tmpdir(), 'sallyport-image-'));
const BUNDLES = [
  '/etc/ssl/cert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/ca-bundle.pem',
  '/usr/lib/python3.12/site-packages/certifi/cacert.pem',
  '/usr/local/lib/python3.11/site-packages/pip/_vendor/certifi/cacert.pem',
];
const ANCHORS = ['/usr/local/share/ca-certificates', '/etc/pki/ca-trust/source/anchors'];
const JAVA = '/usr/lib/jvm/java-21/lib/security/cacerts';

let bench: FrameBench;
let machine: Machine;

function makeRoot(): string {
  const root = join(home, 'root');
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  for (const path of BUNDLES) put(path, known.certPem.trimEnd());
  for (const path of ANCHORS) mkdirSync(join(root, path), { recursive: true });
  put(JAVA, 'a store of before');
  put('/etc/passwd', 'root:x:0:0::/root:/bin/sh\napp:x:77:78::/home/app:/bin/sh\n');
  put('/etc/group', 'root:x:0:\napp:x:78:\naudio:x:90:app\n');
  mkdirSync(join(root, 'bin'));
  copyFileSync('/bin/busybox', join(root, 'bin/busybox'));
  for (const name of ['sh', 'cat', 'id', 'ls', 'pwd']) symlinkSync('busybox', join(root, 'bin', name));
  return root;
}

beforeAll(async () => {
  const shared = guestHome();
  await (await createMachine()).close();
  symlinkSync(join(shared, 'guest'), join(home, 'guest'));
  const store = await ImageStore.open(join(home, 'images'));
  await store.take(makeRoot(), 'layouts:1');
  bench = await openBench(TAP_LEASE);
  const { door } = bench;
  machine = await createMachine({
    homeDir: home,
    image: 'layouts:1',
    imageConfig: { user: 'app', workingDir: '/home/app/work', env: { FROM_IMAGE: 'yes' } },
    door: {
      cell: door.cell,
      tap: door.tap,
      caPem: own.certPem,
      secretEnv: new Map([['TOKEN', 'GWPH_0']]),
      trustFiles: [],
      trustEnv: new Map(),
    },
  });
  await machine.start();
});

afterAll(async () => {
  await machine?.close();
  await bench?.door.close();
  rmSync(home, { recursive: true, force: true });
  removeFolders();
});

const read = async (path: string): Promise<Buffer> => Buffer.from(await machine.readFile(path));

test.each(BUNDLES)('%s holds the gateway’s authority beside those that it had', async path => {
  expect(certificatesOf((await read(path)).toString())).toHaveLength(2);
});

test.each(ANCHORS)('%s holds it, so that the next collection keeps it', async folder => {
  expect((await read(`${folder}/sallyport.crt`)).toString()).toBe(own.certPem);
});

test('Java’s store is one that Java reads, with both authorities', async () => {
  const store = await read(JAVA);
  expect(store.readUInt32BE(0)).toBe(0xfeedfeed);
  expect(store.readUInt32BE(8)).toBe(2);
});

test('the key is nowhere', async () => {
  for (const path of ['/run/sallyport/ca.pem', '/run/sallyport/ca-bundle.pem']) {
    expect((await read(path)).toString()).not.toContain('PRIVATE KEY');
  }
  expect((await machine.listFiles('/run/sallyport')).map(({ name }) => name)).toEqual([
    'apt.conf',
    'ca-bundle.pem',
    'ca.pem',
  ]);
});

test('commands are the image’s user, in its folder, with its variables and the placeholders', async () => {
  const { stdout } = await machine.exec('id -u; id -g; id -G; pwd; echo "$HOME $FROM_IMAGE $TOKEN"', {
    workingDir: '/home/app/work',
  });
  expect(stdout).toBe('77\n78\n78 90\n/home/app/work\n/home/app yes GWPH_0\n');
});

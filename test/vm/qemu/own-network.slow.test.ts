import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { TAP_LEASE } from '../../../src/net/vestibule/index.js';
import type { Machine } from '../../../src/vm/backend.js';
import { closureOf } from '../../../src/vm/qemu/closure.js';
import { type FrameBench, openBench } from '../../support/corpus/frame-cases.js';
import { makeTestCa } from '../../support/tls.js';
import { createMachine, guestHome, removeFolders } from './stage.js';

/** A guest that takes its network from nobody but the link: systemd's own client of DHCP, DHCPv6 and advertisements. */
const NETWORKD = '/usr/lib/systemd/systemd-networkd';
const home = mkdtempSync(join(tmpdir(), 'sallyport-networkd-'));
const UNIT = '[Match]\nName=eth0\n[Network]\nDHCP=yes\nIPv6AcceptRA=yes\n[DHCPv4]\nUseMTU=no\n';

let bench: FrameBench;
let machine: Machine;

async function makeRoot(): Promise<string> {
  const root = join(home, 'root');
  const put = (path: string, content: string | Uint8Array, mode = 0o644): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content, { mode });
  };
  for (const { path, content } of await closureOf(NETWORKD)) put(path, content, 0o755);
  put('etc/passwd', 'root:x:0:0::/root:/bin/sh\nsystemd-network:x:77:77::/:/bin/false\n');
  put('etc/group', 'root:x:0:\nsystemd-network:x:77:\n');
  put('etc/machine-id', `${'5'.repeat(32)}\n`);
  put('etc/systemd/network/eth0.network', UNIT);
  mkdirSync(join(root, 'bin'));
  copyFileSync('/bin/busybox', join(root, 'bin/busybox'));
  for (const name of ['sh', 'cat', 'ip', 'mount', 'mkdir', 'sleep', 'wget', 'nc', 'sort'])
    symlinkSync('busybox', join(root, 'bin', name));
  return root;
}

const it = existsSync(NETWORKD) ? test : test.skip;

beforeAll(async () => {
  if (!existsSync(NETWORKD)) return;
  await (await createMachine()).close();
  symlinkSync(join(guestHome(), 'guest'), join(home, 'guest'));
  bench = await openBench(TAP_LEASE);
  const { cell, tap } = bench.door;
  const door = {
    cell,
    tap,
    caPem: makeTestCa().certPem,
    secretEnv: new Map(),
    trustFiles: [],
    trustEnv: new Map(),
  };
  machine = await createMachine({ homeDir: home, localBundlePath: await makeRoot(), door });
  await machine.start();
});

afterAll(async () => {
  await machine?.close();
  await bench?.door.close();
  removeFolders();
  rmSync(home, { recursive: true, force: true });
});

/** As it is where the image's own init brings the network up, and nobody did before. */
const BEGIN = `
ip link set eth0 down; ip addr flush dev eth0; ip -6 addr flush dev eth0; ip route flush dev eth0
mkdir -p /run/systemd/network && echo docker >/run/systemd/container
mount -o remount,ro /sys
${NETWORKD} >/run/said 2>&1 </dev/null &
i=0
while [ $i -lt 120 ]; do
  six=$(ip -6 addr show dev eth0 scope global); four=$(ip -4 addr show dev eth0 scope global)
  if [ -n "$six" ] && [ -n "$four" ] && [ -n "$(ip -6 route show default)" ]; then break; fi
  i=$((i+1)); sleep 0.5
done
ip -4 addr show dev eth0; ip -6 addr show dev eth0; ip route; ip -6 route
`;

it('a guest that asks the link has its address of each family, its router, and a way to what is allowed', async () => {
  const { stdout } = await machine.exec(BEGIN, { timeoutMs: 150_000 });
  const said = (await machine.exec('cat /run/said')).stdout;
  expect(`${stdout}\n${said}`).toContain('inet 198.19.255.254/30');
  expect(stdout).toContain('inet6 fd53:616c:6c79::2/128');
  expect(stdout).toContain('default via 198.19.255.253');
  expect(stdout).toMatch(/default via fe80::53:61ff:fe6c:6c01/);
  expect(stdout.match(/inet6 (?!fe80)/g)).toHaveLength(1);
  await machine.exec('echo | nc -w 5 2606:4700::1 80; echo | nc -w 5 93.184.216.34 80');
  expect(bench.flows).toEqual(['fd53:616c:6c79::2 2606:4700::1 80', '198.19.255.254 93.184.216.34 80']);
}, 240_000);

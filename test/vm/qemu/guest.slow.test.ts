import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { TAP_LEASE } from '../../../src/net/vestibule/index.js';
import { Agent } from '../../../src/vm/qemu/agent/agent.js';
import { netKernelArg } from '../../../src/vm/qemu/command-line.js';
import { ensureDefaultImage, ensureGuestFiles } from '../../../src/vm/qemu/guest-files.js';
import { AGENT_FD, MONITOR_FD, startVmm, TAP_FD, type Vmm } from '../../../src/vm/qemu/vmm.js';
import { endsTo, type FrameBench, openBench } from '../../support/corpus/frame-cases.js';
import { ethernet, icmp, tcp, udp } from '../../support/frames/build.js';
import { guestHome, openExec, ran } from './stage.js';

/** One guest, without a gateway: QEMU in its cell, the TAP, the agent. */
let bench: FrameBench;
let vmm: Vmm;
let agent: Agent;

beforeAll(async () => {
  const home = guestHome();
  const guest = await ensureGuestFiles(home);
  const image = await ensureDefaultImage(home);
  bench = await openBench(TAP_LEASE);
  vmm = await startVmm({
    cell: bench.door.cell,
    tapFd: bench.door.tap?.fd ?? null,
    files: [
      { source: guest.kernel, target: '/vm/kernel', writable: false },
      { source: guest.initramfs, target: '/vm/initramfs', writable: false },
      { source: image.path, target: '/vm/lower', writable: false },
    ],
    line: {
      accel: 'tcg',
      arch: 'x64',
      cpus: 1,
      memoryMb: 256,
      kernel: '/vm/kernel',
      initramfs: '/vm/initramfs',
      kernelArgs: [
        'sp.lower=squashfs',
        'sp.upper=memory',
        'sp.modules=net',
        netKernelArg(TAP_LEASE, bench.door.cell.ipv6),
      ],
      disks: [{ name: 'lower', path: '/vm/lower', format: 'raw', readonly: true, scratch: false }],
      agentFd: AGENT_FD,
      monitorFd: MONITOR_FD,
      net: { fd: TAP_FD, mac: TAP_LEASE.guestMac, mtu: TAP_LEASE.mtu },
      shares: [],
      more: [],
    },
  });
  agent = new Agent(vmm.agent);
  await Promise.race([
    agent.ready,
    vmm.exit.then(({ said }) => {
      throw new Error(`the machine ended: ${said}\n${vmm.screen.tail()}`);
    }),
  ]);
});

afterAll(async () => {
  vmm?.kill();
  await vmm?.exit;
  if (process.env.CONSOLE) process.stderr.write(vmm.screen.tail(60));
  await bench?.door.close();
});

const sh = (script: string, options = {}) => openExec(agent, ['sh', '-c', script], options);

test('a command has its own output, its own errors and its own exit code', async () => {
  expect(await ran(sh('cat; echo out; echo err >&2; exit 7'), 'in ')).toEqual({
    code: 7,
    signal: 0,
    stdout: 'in out\n',
    stderr: 'err\n',
  });
});

test('a command that a signal ended says which', async () => {
  expect(await ran(sh('kill -USR1 $$'))).toMatchObject({ code: 0, signal: 10 });
});

test('a program that does not exist, and one that is none, are told apart', async () => {
  await expect(openExec(agent, ['no-such-program']).exit).rejects.toMatchObject({
    errno: 2,
    stage: 'command',
  });
  await expect(openExec(agent, ['/etc/passwd']).exit).rejects.toMatchObject({ errno: 13, stage: 'command' });
  await expect(openExec(agent, ['true'], { folder: '/nowhere' }).exit).rejects.toMatchObject({
    stage: 'folder',
  });
  await expect(openExec(agent, ['true'], { user: 'nobody-here' }).exit).rejects.toMatchObject({
    stage: 'user nobody-here',
  });
});

test('a signal reaches the whole process group', async () => {
  const channel = sh('sleep 1000 & sleep 1000 & echo ready; wait');
  const first = new Promise(resolve => channel.stdout.once('data', resolve));
  await first;
  channel.signal(9);
  expect(await channel.exit).toMatchObject({ signal: 9 });
  expect((await ran(sh('ps | grep -c "[s]leep 1000"'))).stdout).toBe('0\n');
});

test('a user of the guest has that user’s identity, groups and home', async () => {
  expect((await ran(sh('id -u; id -g; echo $HOME', { user: 'user' }))).stdout).toBe(
    '1000\n1000\n/home/user\n',
  );
  expect((await ran(sh('id -u; id -g', { user: '5:7' }))).stdout).toBe('5\n7\n');
});

test('eight megabytes go both ways unchanged, and many commands run at once', async () => {
  const bytes = randomBytes(8 << 20);
  const digest = createHash('sha256').update(bytes).digest('hex');
  const echo = openExec(agent, ['cat']);
  echo.stdin.end(bytes);
  const back = buffer(echo.stdout);
  const others = await Promise.all(Array.from({ length: 20 }, (_, at) => ran(sh(`echo ${at}`))));
  expect(others.map(({ stdout }) => stdout.trim())).toEqual(
    Array.from({ length: 20 }, (_, at) => String(at)),
  );
  expect(
    createHash('sha256')
      .update(await back)
      .digest('hex'),
  ).toBe(digest);
});

test('a command waits while nobody reads what it writes', async () => {
  const channel = sh(
    'i=0; while [ $i -lt 64 ]; do head -c 65536 /dev/zero; i=$((i+1)); echo $i >/tmp/progress; done',
  );
  await delay(1_500);
  const progress = Number((await ran(sh('cat /tmp/progress'))).stdout);
  expect(progress).toBeLessThan(20);
  expect((await buffer(channel.stdout)).length).toBe(64 * 65_536);
  expect(await channel.exit).toMatchObject({ code: 0 });
});

test('a terminal has a size that changes, and Ctrl-C is an interrupt', async () => {
  const channel = agent.open('exec', ['30', '90', '', '', '1', 'sh']);
  let shown = '';
  channel.stdout.on('data', bytes => {
    shown += String(bytes);
  });
  const until = async (what: RegExp) => {
    for (let tries = 0; tries < 200 && !what.test(shown); tries += 1) await delay(50);
    expect(shown).toMatch(what);
  };
  channel.stdin.write('stty size\n');
  await until(/30 90/);
  channel.resize(40, 100);
  channel.stdin.write('stty size; sleep 1000; echo "code $?"\n');
  await until(/40 100/);
  channel.stdin.write('\x03');
  channel.stdin.write('echo "after $((40+2))"\n');
  await until(/after 42/);
  channel.stdin.write('exit 3\n');
  expect(await channel.exit).toMatchObject({ code: 3 });
});

test('a fork bomb is bounded, and commands still run beside it', async () => {
  const bomb = sh('bomb() { bomb | bomb & }; bomb; sleep 2; echo over');
  bomb.stdin.end();
  await delay(1_500);
  expect((await ran(sh('echo alive'))).stdout).toBe('alive\n');
  // All of them, and this shell with them.
  await ran(sh('echo 1 >/sys/fs/cgroup/sandbox/cgroup.kill')).catch(() => {});
});

test('a command that takes all the memory is ended, and nothing else', async () => {
  expect((await ran(sh('cat /proc/self/oom_score_adj'))).stdout).toBe('0\n');
  expect(await ran(sh(`awk 'BEGIN { all = "0123456789abcdef"; while (1) all = all all }'`))).toMatchObject({
    signal: 9,
  });
  expect(vmm.screen.tail()).toContain('Memory cgroup out of memory');
  expect((await ran(sh('echo alive'))).stdout).toBe('alive\n');
});

test('the machine knows the way to the gate only, and the gate resets what it refuses', async () => {
  const { stdout, stderr } = await ran(sh('curl -sv --max-time 5 http://93.184.216.34/; ip route | wc -l'));
  // Whether curl is still connecting, writing or reading by then is a matter of the machine's speed.
  expect(stderr).toContain('Connection reset by peer');
  expect(stdout).toBe('2\n');
  expect(bench.flows.at(-1)).toBe('198.19.255.254 93.184.216.34 80');
});

/** Root in the guest, with the agent's own interpreter, on a raw socket. */
const SEND = `socket(my $raw, 17, 3, 0) or die "no socket: $!";
my $to = pack('S n i S C C a8', 17, 3, 2, 0, 0, 6, '');
send($raw, pack('H*', $_), 0, $to) or print "refused $!\\n" for @ARGV; print "sent\\n"`;

test('no raw frame of root in the guest reaches anything under another name', async () => {
  const { lease, flows } = bench;
  const four = endsTo(lease, '93.184.216.34');
  const syn = { sourcePort: 40_100, targetPort: 80, flags: 0x02 };
  const frames = [
    tcp({ ...four, sourceMac: '02:00:00:00:00:99' }, syn),
    tcp({ ...four, source: '10.0.0.1' }, syn),
    tcp({ ...endsTo(lease, '2606:4700::1'), source: 'fd53:616c:6c79::9' }, syn),
    udp(four, 4_000, 443, Buffer.from('quic')),
    icmp(
      { ...endsTo(lease, 'ff02::1'), targetMac: '33:33:00:00:00:01', source: 'fe80::53:61ff:fe6c:6c02' },
      134,
      0,
      Buffer.alloc(12),
    ),
    icmp(four, 5, 1, Buffer.alloc(32)),
    ethernet(
      lease.guestMac,
      lease.gateMac,
      0x8100,
      Buffer.concat([Buffer.of(0, 5, 8, 0), tcp(four, syn).subarray(14)]),
    ),
  ];
  const before = flows.length;
  const { stdout } = await ran(
    openExec(agent, [
      'chroot',
      '/proc/1/root',
      '/usr/bin/perl',
      '-e',
      SEND,
      ...frames.map(frame => frame.toString('hex')),
    ]),
  );
  expect(stdout).toBe('sent\n');
  await delay(200);
  expect(flows.length).toBe(before);
  const told = (await bench.door.refusals()).map(
    ({ protocol, address, port }) => `${protocol} ${address} ${port}`,
  );
  expect(told).toEqual(
    expect.arrayContaining([
      'forged 10.0.0.1 0',
      'forged fd53:616c:6c79::9 0',
      'udp 93.184.216.34 443',
      'malformed  0',
    ]),
  );
});

test('DHCP gives the guest the one address that it may have', async () => {
  const { stdout, stderr } = await ran(sh('udhcpc -f -n -q -t 3 -i eth0 -s /bin/true 2>&1'));
  expect(stdout + stderr).toContain('lease of 198.19.255.254 obtained');
});

test('a paused machine does not answer, and goes on where it was', async () => {
  await vmm.monitor.execute('stop');
  const waiting = ran(sh('echo awake'));
  expect(await Promise.race([waiting, delay(500, 'nothing')])).toBe('nothing');
  await vmm.monitor.execute('cont');
  expect((await waiting).stdout).toBe('awake\n');
});

/** The last of the chain: QEMU itself. */
function lastChild(pid: number): number {
  const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  return first === undefined || first === '' ? pid : lastChild(Number(first));
}

test('the VMM may start nothing, and has no capability and no interface', () => {
  const pid = lastChild(vmm.pid);
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  expect(status).toMatch(/Name:\s+qemu-system/);
  expect(status).toMatch(/CapEff:\s+0000000000000000/);
  expect(status).toMatch(/Seccomp:\s+2/);
  expect(status).toMatch(/NoNewPrivs:\s+1/);
  const links = readFileSync(`/proc/${pid}/net/dev`, 'utf8');
  expect(links.match(/^\s*\w+:/gm)?.map(name => name.trim())).toEqual(['lo:']);
});

test('switched off, the machine ends by itself', async () => {
  agent.open('poweroff', ['1000']);
  expect(await vmm.exit).toMatchObject({ code: 0 });
});

import fc from 'fast-check';
import {
  emitFrame,
  emitList,
  FROM_GUEST,
  FrameReader,
  parseList,
  TO_GUEST,
} from '../../../src/vm/qemu/agent/frames.js';
import {
  bridgedKernelArg,
  bridgedMac,
  type CommandLine,
  qemuArgs,
} from '../../../src/vm/qemu/command-line.js';
import { emitCpio, FILE, LINK } from '../../../src/vm/qemu/cpio.js';
import { enclosureArgs } from '../../../src/vm/qemu/enclosure.js';

const LINE: CommandLine = {
  accel: 'tcg',
  arch: 'x64',
  cpus: 2,
  memoryMb: 512,
  kernel: '/vm/kernel',
  initramfs: '/vm/initramfs',
  kernelArgs: ['sp.lower=squashfs'],
  disks: [
    { name: 'lower', path: '/vm/lower', format: 'raw', readonly: true, scratch: false },
    { name: 'upper', path: '/vm/a,b', format: 'raw', readonly: false, scratch: true },
  ],
  agentFd: 3,
  monitorFd: 4,
  net: { fd: 5, mac: '02:53:61:6c:6c:02', mtu: 65_520 },
  shares: [],
  more: [],
};

test('QEMU may start nothing, gain nothing, and has no device that is not named', () => {
  const args = qemuArgs(LINE).join(' ');
  expect(args).toContain('-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny');
  expect(args).toContain('-nodefaults -no-user-config -no-reboot');
  expect(args).toContain('-netdev tap,id=net,fd=5,vhost=off');
});

test('a machine without a door has no network interface', () => {
  expect(qemuArgs({ ...LINE, net: null }).join(' ')).not.toMatch(/netdev|virtio-net/);
});

test('a comma in a path is no end of an option', () => {
  expect(qemuArgs(LINE).join(' ')).toContain('file.filename=/vm/a,,b');
});

test('an image is read-only for QEMU, a scratch disk is not flushed', () => {
  const disks = qemuArgs(LINE).filter(arg => arg.startsWith('driver='));
  expect(disks[0]).toContain('read-only=on');
  expect(disks[1]).toContain('cache.no-flush=on');
});

test('the VMM sees its files read-only but for those that are its to write, and nothing of the home', () => {
  const args = enclosureArgs({
    program: '/usr/bin/qemu',
    system: ['/usr/lib'],
    links: new Map([['/lib', 'usr/lib']]),
    files: [
      { source: '/home/u/kernel', target: '/vm/kernel', writable: false },
      { source: '/home/u/upper', target: '/vm/upper', writable: true },
    ],
    kvm: false,
    identity: { uid: 1000, gid: 1000 },
    unshareNet: false,
  });
  const text = args.join(' ');
  expect(text).toContain('--ro-bind /home/u/kernel /vm/kernel');
  expect(text).toContain('--bind /home/u/upper /vm/upper');
  expect(text).toContain('--cap-drop ALL');
  expect(text).not.toContain('--unshare-net');
  expect(args.filter(arg => arg === '--bind')).toHaveLength(1);
});

test('an archive holds the folders that its members are in, once, before them', () => {
  const text = emitCpio([
    { path: 'a/b/one', mode: FILE, content: Buffer.from('1') },
    { path: 'a/b/two', mode: LINK, content: Buffer.from('one') },
  ]).toString('latin1');
  const names = Array.from(text.matchAll(/070701[0-9a-f]{104}([^\0]+)\0/g), ([, name]) => name);
  expect(names).toEqual(['a', 'a/b', 'a/b/one', 'a/b/two', 'TRAILER!!!']);
});

test('what emitFrame writes the reader reads back, however it is cut', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(fc.integer({ min: 16, max: 24 }), fc.nat(0xffff_ffff), fc.uint8Array({ maxLength: 300 })),
        { maxLength: 8 },
      ),
      fc.integer({ min: 1, max: 64 }),
      (frames, step) => {
        const bytes = Buffer.concat(
          frames.map(([type, channel, payload]) => emitFrame(type, channel, payload)),
        );
        const reader = new FrameReader();
        const read = [];
        for (let at = 0; at < bytes.length; at += step) {
          const got = reader.push(Buffer.from(bytes.subarray(at, at + step)));
          if (!got.ok) throw new Error(got.error);
          read.push(...got.value);
        }
        expect(read.map(({ type, channel, payload }) => [type, channel, [...payload]])).toEqual(
          frames.map(([type, channel, payload]) => [type, channel, [...payload]]),
        );
      },
    ),
    { seed: 11, numRuns: 200 },
  );
});

test('the reader never throws on random bytes', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 8 }), chunks => {
      const reader = new FrameReader();
      for (const chunk of chunks) if (!reader.push(Buffer.from(chunk)).ok) return;
    }),
    { seed: 12 },
  );
});

const faults = [
  { name: 'a frame shorter than its head', hex: '00000004 10 00000001', want: 'bad-length' },
  { name: 'a frame of 128 MiB', hex: '08000000 10 00000001', want: 'bad-length' },
  { name: 'a type that only the gateway sends', hex: '00000005 01 00000001', want: 'bad-type' },
];

for (const { name, hex, want } of faults) {
  test(`the reader ends at ${name}`, () => {
    expect(new FrameReader().push(Buffer.from(hex.replaceAll(' ', ''), 'hex'))).toEqual({
      ok: false,
      error: want,
    });
  });
}

test('a list reads back, and one that is cut short is none', () => {
  const list = emitList(['exec', Buffer.of(0, 1), '']);
  expect(parseList(list)?.map(item => item.toString('latin1'))).toEqual(['exec', '\0\x01', '']);
  expect(parseList(list.subarray(0, -1))).toBeNull();
  expect(parseList(list.subarray(0, 5))).toBeNull();
});

test('no type of one side is a type of the other', () => {
  const from = new Set<number>(Object.values(FROM_GUEST));
  expect(Object.values(TO_GUEST).filter(type => from.has(type))).toEqual([]);
});

test('a bridged machine has a MAC that is its own at each start, and for one station', () => {
  expect(bridgedMac('a')).toBe(bridgedMac('a'));
  expect(bridgedMac('a')).not.toBe(bridgedMac('b'));
  expect(bridgedMac('a')).toMatch(/^02:53(:[0-9a-f]{2}){4}$/);
  expect(bridgedKernelArg({ mtu: 1500 })).toBe('sp.bridged=1500,,');
  expect(bridgedKernelArg({ mtu: 1400, address: '192.0.2.10/24', router: '192.0.2.1' })).toBe(
    'sp.bridged=1400,192.0.2.10/24,192.0.2.1',
  );
});

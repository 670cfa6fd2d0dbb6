import { emitFilter, type FilteredArch } from '../../../src/vm/process/seccomp.js';

/** What the kernel does with the program: a classic BPF machine with the instructions that the filter uses. */
function verdict(
  program: Uint8Array,
  data: { arch: number; number: number; args?: readonly number[] },
): string {
  const input = new DataView(new ArrayBuffer(64));
  input.setUint32(0, data.number >>> 0, true);
  input.setUint32(4, data.arch >>> 0, true);
  for (const [index, value] of (data.args ?? []).entries()) {
    input.setBigUint64(16 + 8 * index, BigInt.asUintN(64, BigInt(value)), true);
  }
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  let accumulator = 0;
  for (let at = 0; at < program.length; at += 8) {
    const [code, jt, jf, k] = [
      view.getUint16(at, true),
      view.getUint8(at + 2),
      view.getUint8(at + 3),
      view.getUint32(at + 4, true),
    ];
    const jump = (condition: boolean): void => {
      at += 8 * (condition ? jt : jf);
    };
    if (code === 0x20) accumulator = input.getUint32(k, true);
    else if (code === 0x06) return answerOf(k);
    else if (code === 0x15) jump(accumulator === k);
    else if (code === 0x35) jump(accumulator >= k);
    else if (code === 0x45) jump((accumulator & k) !== 0);
    else throw new Error(`an instruction that the test does not know: ${code}`);
  }
  throw new Error('the program ran off its end');
}

function answerOf(value: number): string {
  if (value === 0x7fff0000) return 'allow';
  if (value === 0x80000000) return 'kill';
  return `errno ${value & 0xffff}`;
}

const ARCHES: readonly {
  name: FilteredArch;
  arch: number;
  ioctl: number;
  socket: number;
  clone: number;
  keyctl: number;
  read: number;
}[] = [
  { name: 'x64', arch: 0xc000003e, ioctl: 16, socket: 41, clone: 56, keyctl: 250, read: 0 },
  { name: 'arm64', arch: 0xc00000b7, ioctl: 29, socket: 198, clone: 220, keyctl: 219, read: 63 },
];

describe.each(ARCHES)('the filter for $name', ({ name, arch, ioctl, socket, clone, keyctl, read }) => {
  const program = emitFilter(name);
  const ask = (number: number, ...args: readonly number[]): string =>
    verdict(program, { arch, number, args });

  test.each([
    ['an ordinary call', read, [], 'allow'],
    ['a window size', ioctl, [0, 0x5413], 'allow'],
    ['keys pushed into the terminal', ioctl, [0, 0x5412], 'errno 1'],
    ['keys pushed, with bits that the kernel ignores', ioctl, [0, 0x1_0000_5412], 'errno 1'],
    ['the console’s clipboard', ioctl, [0, 0x541c], 'errno 1'],
    ['an Internet socket', socket, [2], 'allow'],
    ['an IPv6 socket', socket, [10], 'allow'],
    ['a Unix socket', socket, [1], 'allow'],
    ['a question to the kernel about routes', socket, [16], 'allow'],
    ['a socket to the hypervisor', socket, [40], 'errno 97'],
    ['a socket for raw frames', socket, [17], 'errno 97'],
    ['a thread', clone, [0x3d0f00], 'allow'],
    ['a nested user namespace', clone, [0x10000011], 'errno 1'],
    ['a keyring', keyctl, [], 'errno 1'],
    ['clone3, whose flags cannot be read', 435, [], 'errno 38'],
    ['io_uring, which makes sockets without asking', 425, [], 'errno 38'],
  ])('on %s', (_name, number, args, want) => expect(ask(number, ...args)).toBe(want));

  test('ends a program of another architecture', () => {
    expect(verdict(program, { arch: 0x40000003, number: 0 })).toBe('kill');
  });

  test('fits into what the kernel takes', () => expect(program.length / 8).toBeLessThan(4096));
});

test('the filter for x64 knows no x32 call', () => {
  expect(verdict(emitFilter('x64'), { arch: 0xc000003e, number: 0x40000000 + 41, args: [40] })).toBe(
    'errno 38',
  );
});

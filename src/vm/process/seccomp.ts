/**
 * The system call filter of a sandbox, as a classic BPF program (seccomp(2), linux/filter.h).
 *
 * Pure: bytes out, for x86-64 and AArch64. It denies what namespaces do not hold: pushing keys into the terminal
 * that the gateway shares, sockets that ignore network namespaces (AF_VSOCK reaches a hypervisor), keyrings, and the
 * parts of the kernel that attackers knock at and programs do without.
 */
export type FilteredArch = 'x64' | 'arm64';

interface Arch {
  /** AUDIT_ARCH_* of linux/audit.h. */
  readonly audit: number;
  /** Numbers of the calls (asm/unistd.h). */
  readonly calls: Readonly<Record<Call, number>>;
}

const REFUSED = [
  'keyctl',
  'add_key',
  'request_key',
  'bpf',
  'userfaultfd',
  'perf_event_open',
  'kexec_load',
  'kexec_file_load',
  'init_module',
  'finit_module',
  'delete_module',
  'open_by_handle_at',
  'fanotify_init',
  'acct',
  'swapon',
  'swapoff',
  'quotactl',
  'syslog',
] as const;
/** Absent rather than forbidden: callers then use the older way, which can be filtered. */
const ABSENT = ['clone3', 'io_uring_setup', 'io_uring_enter', 'io_uring_register'] as const;
const INSPECTED = ['ioctl', 'socket', 'clone', 'unshare'] as const;

type Call = (typeof REFUSED)[number] | (typeof ABSENT)[number] | (typeof INSPECTED)[number];

const ARCHES: Readonly<Record<FilteredArch, Arch>> = {
  x64: {
    audit: 0xc000003e,
    calls: {
      keyctl: 250,
      add_key: 248,
      request_key: 249,
      bpf: 321,
      userfaultfd: 323,
      perf_event_open: 298,
      kexec_load: 246,
      kexec_file_load: 320,
      init_module: 175,
      finit_module: 313,
      delete_module: 176,
      open_by_handle_at: 304,
      fanotify_init: 300,
      acct: 163,
      swapon: 167,
      swapoff: 168,
      quotactl: 179,
      syslog: 103,
      clone3: 435,
      io_uring_setup: 425,
      io_uring_enter: 426,
      io_uring_register: 427,
      ioctl: 16,
      socket: 41,
      clone: 56,
      unshare: 272,
    },
  },
  arm64: {
    audit: 0xc00000b7,
    calls: {
      keyctl: 219,
      add_key: 217,
      request_key: 218,
      bpf: 280,
      userfaultfd: 282,
      perf_event_open: 241,
      kexec_load: 104,
      kexec_file_load: 294,
      init_module: 105,
      finit_module: 273,
      delete_module: 106,
      open_by_handle_at: 265,
      fanotify_init: 262,
      acct: 89,
      swapon: 224,
      swapoff: 225,
      quotactl: 60,
      syslog: 116,
      clone3: 435,
      io_uring_setup: 425,
      io_uring_enter: 426,
      io_uring_register: 427,
      ioctl: 29,
      socket: 198,
      clone: 220,
      unshare: 97,
    },
  },
};

const ALLOW = 0x7fff0000;
const KILL = 0x80000000;
const errno = (number: number): number => 0x00050000 | number;
const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

/** Offsets in `struct seccomp_data`; the low half of an argument, both architectures being little-endian. */
const NUMBER = 0;
const AUDIT_ARCH = 4;
const argument = (index: number): number => 16 + 8 * index;

/** The x32 flavour of x86-64 has call numbers of its own, from this one. */
const X32 = 0x40000000;
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;
const CLONE_NEWUSER = 0x10000000;
/** UNIX, INET, INET6, NETLINK: enough for every program that is not a network stack. */
const FAMILIES = [1, 2, 10, 16];

interface Instruction {
  readonly code: number;
  readonly k: number;
  /** How many instructions to skip if true, if false. */
  readonly jt: number;
  readonly jf: number;
}

const load = (offset: number): Instruction => ({ code: 0x20, k: offset, jt: 0, jf: 0 });
const answer = (value: number): Instruction => ({ code: 0x06, k: value, jt: 0, jf: 0 });
const skipIfEqual = (k: number, count: number): Instruction => ({ code: 0x15, k, jt: count, jf: 0 });
const skipUnlessEqual = (k: number, count: number): Instruction => ({ code: 0x15, k, jt: 0, jf: count });
const skipIfBelow = (k: number, count: number): Instruction => ({ code: 0x35, k, jt: 0, jf: count });
const skipUnlessAnyBit = (k: number, count: number): Instruction => ({ code: 0x45, k, jt: 0, jf: count });

/** The program for `arch`, as bubblewrap's `--seccomp` takes it. */
export function emitFilter(arch: FilteredArch): Uint8Array {
  const { audit, calls } = ARCHES[arch];
  return encode([
    load(AUDIT_ARCH),
    skipIfEqual(audit, 1),
    // Another architecture's calls (32-bit programs) have other numbers: none of the tests below would hold.
    answer(KILL),
    load(NUMBER),
    ...(arch === 'x64' ? [skipIfBelow(X32, 1), answer(errno(ENOSYS))] : []),
    ...REFUSED.flatMap(name => onCall(calls[name], [answer(errno(EPERM))])),
    ...ABSENT.flatMap(name => onCall(calls[name], [answer(errno(ENOSYS))])),
    ...onCall(calls.ioctl, refuseIf(1, [TIOCSTI, TIOCLINUX], EPERM)),
    ...onCall(calls.socket, allowOnly(0, FAMILIES, EAFNOSUPPORT)),
    ...onCall(calls.clone, refuseFlag(0, CLONE_NEWUSER)),
    ...onCall(calls.unshare, refuseFlag(0, CLONE_NEWUSER)),
    answer(ALLOW),
  ]);
}

/** `body` must end in an answer: after it, the call number is no longer loaded. */
function onCall(number: number, body: readonly Instruction[]): readonly Instruction[] {
  return [skipUnlessEqual(number, body.length), ...body];
}

function refuseIf(index: number, values: readonly number[], error: number): readonly Instruction[] {
  const tests = values.flatMap(value => [skipUnlessEqual(value, 1), answer(errno(error))]);
  return [load(argument(index)), ...tests, answer(ALLOW)];
}

function allowOnly(index: number, values: readonly number[], error: number): readonly Instruction[] {
  const tests = values.flatMap(value => [skipUnlessEqual(value, 1), answer(ALLOW)]);
  return [load(argument(index)), ...tests, answer(errno(error))];
}

/** Nested user namespaces hand out every capability over what they own: the widest door to kernel bugs. */
function refuseFlag(index: number, flag: number): readonly Instruction[] {
  return [load(argument(index)), skipUnlessAnyBit(flag, 1), answer(errno(EPERM)), answer(ALLOW)];
}

/** `struct sock_filter`: code (2 bytes), jt, jf, k (4 bytes), in the machine's order, which is little-endian. */
function encode(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  program.forEach(({ code, jt, jf, k }, index) => {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, jt);
    view.setUint8(index * 8 + 3, jf);
    view.setUint32(index * 8 + 4, k, true);
  });
  return bytes;
}

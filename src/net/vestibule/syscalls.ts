/** The system calls that Node does not make (shell: koffi calls libc; no compiler on the user's machine). */
import { closeSync } from 'node:fs';
import { GatewayError } from '../../core/errors.js';

export interface Syscalls {
  /** getsockopt(2). 0, or -1 for an error. */
  getsockopt(fd: number, level: number, option: number, value: Uint8Array, length: Uint32Array): number;
  /** ioctl(2), of those that take a pointer. */
  ioctl(fd: number, request: number, argument: Uint16Array | Uint32Array): number;
  /** recv(2). The length, or -1 for an error. */
  recv(fd: number, into: Uint8Array, length: number, flags: number): number;
  /** sendto(2). */
  sendto(
    fd: number,
    bytes: Uint8Array,
    length: number,
    flags: number,
    to: Uint8Array,
    toLength: number,
  ): number;
  /** flock(2). The lock ends with the process, whatever ends that. */
  flock(fd: number, operation: number): number;
  /** syscall(2) with up to three numbers. */
  syscall(number: number, a: number, b: number, c: number): number;
}

let loading: Promise<Syscalls> | null = null;

/** Loads koffi once. It takes some ten milliseconds, so it is begun while the door is being made. */
export function loadSyscalls(): Promise<Syscalls> {
  loading ??= load();
  return loading;
}

async function load(): Promise<Syscalls> {
  const { default: koffi } = await import('koffi');
  const libc = koffi.load(null);
  return {
    getsockopt: libc.func('int getsockopt(int fd, int level, int option, void *value, void *length)'),
    ioctl: libc.func('int ioctl(int fd, ulong request, void *argument)'),
    recv: libc.func('long recv(int fd, void *into, size_t length, int flags)'),
    sendto: libc.func(
      'long sendto(int fd, const void *bytes, size_t length, int flags, const void *to, uint toLength)',
    ),
    flock: libc.func('int flock(int fd, int operation)'),
    syscall: libc.func('long syscall(long number, long a, long b, long c)'),
  };
}

/** The same number on every architecture (asm-generic/unistd.h), with its flag CLOSE_RANGE_CLOEXEC. */
const CLOSE_RANGE = 436;
const ON_EXEC = 4;
const FIRST_AFTER_STANDARD = 3;
const LAST = 0xffff_ffff;

/**
 * Keeps every descriptor but the standard three from the programs that we start. Node marks its own so; those that
 * the gateway got from whoever started it are not, and a socket or a folder among them would be a way out.
 * Throws `WARDEN_FAILED` where the kernel is older than 5.11.
 */
export async function keepDescriptors(): Promise<void> {
  const { syscall } = await loadSyscalls();
  if (syscall(CLOSE_RANGE, FIRST_AFTER_STANDARD, LAST, ON_EXEC) === 0) return;
  throw new GatewayError(
    'WARDEN_FAILED',
    'the kernel cannot keep descriptors from the sandbox: 5.11 or newer is needed',
  );
}

/** The same numbers on every architecture. */
const PIDFD_OPEN = 434;
const PIDFD_GETFD = 438;

/** A descriptor of our own for what process `pid` has open as `fd`; kept from programs that we start. */
export async function takeDescriptor(pid: number, fd: number): Promise<number> {
  const { syscall } = await loadSyscalls();
  const process = syscall(PIDFD_OPEN, pid, 0, 0);
  if (process < 0) throw new GatewayError('WARDEN_FAILED', 'the kernel does not hand over a process');
  try {
    const own = syscall(PIDFD_GETFD, process, fd, 0);
    if (own < 0) {
      throw new GatewayError(
        'WARDEN_FAILED',
        'the kernel does not hand over a descriptor (kernel.yama.ptrace_scope?)',
      );
    }
    return own;
  } finally {
    closeSync(process);
  }
}

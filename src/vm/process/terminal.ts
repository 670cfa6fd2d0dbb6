/** A terminal of a sandbox: a pair of pseudo-terminal ends (pty(7)), of its own devpts (shell: opens devices). */
import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { ReadStream } from 'node:tty';
import { errorCode, GatewayError } from '../../core/errors.js';
import { loadSyscalls, type Syscalls } from '../../net/vestibule/index.js';

export interface Screen {
  /** Its end is typed as the end of input (Ctrl-D). */
  readonly stdin: Writable;
  /** Ends when nobody has the terminal any more. */
  readonly stdout: Readable;
}

/** The master's end as two streams. */
export function screenOf({ master }: Terminal): Screen {
  const stdin = new Writable({
    write: (chunk: Buffer, _encoding, done) => void (master.destroyed ? done() : typed(master, chunk, done)),
    final: done => void (master.destroyed ? done() : typed(master, END_OF_INPUT, done)),
  });
  stdin.on('error', () => {}); // The command is gone: nobody reads what is typed.
  return { stdin, stdout: Readable.from(shownOn(master), { objectMode: false }) };
}

const END_OF_INPUT = Buffer.of(4);

function typed(master: ReadStream, bytes: Buffer, done: (error?: Error | null) => void): void {
  master.write(bytes, done);
}

async function* shownOn(master: ReadStream): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of master) yield chunk as Buffer;
  } catch (error) {
    // The kernel's way to say that the last command has let go of the terminal.
    if (errorCode(error) !== 'EIO') throw error;
  }
}

export interface Terminal {
  /** The end of whoever sits before it: what is written is typed, what is read is shown. */
  readonly master: ReadStream;
  /** The command's end, to be inherited; closed by `release`. */
  readonly slaveFd: number;
  resize(rows: number, cols: number): void;
  /** To be called once the command has its end: the last one to close it ends the session. */
  release(): void;
}

/** asm-generic/ioctls.h: the same on x86-64 and AArch64. */
const TIOCSPTLCK = 0x40045431;
const TIOCGPTN = 0x80045430;
const TIOCSWINSZ = 0x5414;

/** `devpts` is the folder of a mounted devpts. Throws `WARDEN_FAILED`. */
export async function openTerminal(devpts: string, rows: number, cols: number): Promise<Terminal> {
  const calls = await loadSyscalls();
  const flags = constants.O_RDWR | constants.O_NOCTTY;
  const masterFd = openSync(join(devpts, 'ptmx'), flags);
  try {
    const number = new Uint32Array(1);
    const made =
      calls.ioctl(masterFd, TIOCSPTLCK, new Uint32Array(1)) === 0 &&
      calls.ioctl(masterFd, TIOCGPTN, number) === 0;
    if (!made) throw new GatewayError('WARDEN_FAILED', 'the kernel gives no terminal for the command');
    const slaveFd = openSync(join(devpts, `${number[0]}`), flags);
    resizeTerminal(calls, masterFd, rows, cols);
    const master = new ReadStream(masterFd);
    return {
      master,
      slaveFd,
      // A closed stream has given its number back, and the next file may have it.
      resize: (rows, cols) => void (master.destroyed || resizeTerminal(calls, masterFd, rows, cols)),
      release: () => closeSync(slaveFd),
    };
  } catch (error) {
    closeSync(masterFd);
    throw error;
  }
}

/** `struct winsize`: rows, columns, and two numbers that nobody uses. The kernel then sends SIGWINCH. */
function resizeTerminal({ ioctl }: Syscalls, fd: number, rows: number, cols: number): void {
  ioctl(fd, TIOCSWINSZ, Uint16Array.of(rows, cols, 0, 0));
}

/** Values that are read from files and inherited descriptors. A shell: files. */
import { createReadStream } from 'node:fs';
import { open, readdir, readFile, readlink } from 'node:fs/promises';
import { isatty } from 'node:tty';
import { errorCode } from '../../core/errors.js';
import { MAX_VALUE_BYTES } from '../secret.js';
import { failed, gone } from './answer.js';
import { valueOfOutput } from './output.js';
import type { Fetched } from './source.js';

export async function readValue(path: string): Promise<Fetched> {
  try {
    const file = await open(path, 'r');
    try {
      // One byte more than may be, so that a longer file is refused and not cut. A pipe is read to its end.
      const bytes = Buffer.alloc(MAX_VALUE_BYTES + 3);
      let length = 0;
      while (length < bytes.length) {
        const { bytesRead } = await file.read(bytes, length, bytes.length - length, null);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      return valueOfOutput(bytes.subarray(0, length));
    } finally {
      await file.close();
    }
  } catch (error) {
    // Whatever hides the file takes the value away: nothing may be sent that an operator wanted to withdraw.
    return gone(`the file ${path} cannot be read (${errorCode(error)})`);
  }
}

/** How long the writer of a pipe may take, in milliseconds. */
const PIPE_MS = 10_000;

/** Reads an inherited descriptor to its end, and closes it unless it is standard input. */
export async function readDescriptor(fd: number): Promise<Fetched> {
  const wrong = await descriptorFault(fd);
  if (wrong !== null) return gone(wrong);
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    // Descriptor 0 stays open: another file would take its number, and the sandbox's command inherits it.
    const options = { fd, autoClose: fd !== 0, signal: AbortSignal.timeout(PIPE_MS) };
    for await (const piece of createReadStream('', options)) {
      pieces.push(piece as Buffer);
      length += (piece as Buffer).length;
      if (length > MAX_VALUE_BYTES + 2) return failed(`descriptor ${fd} gave more than 64 KiB`);
    }
  } catch (error) {
    return failed(`descriptor ${fd} cannot be read (${errorCode(error)})`);
  }
  return valueOfOutput(Buffer.concat(pieces));
}

/** A descriptor of the gateway's own machinery is none that anybody passed to it. */
async function descriptorFault(fd: number): Promise<string | null> {
  if (isatty(fd)) return `descriptor ${fd} is a terminal`;
  const target = await linkOf(fd);
  if (target === null) return `descriptor ${fd} is not open`;
  if (target.startsWith('/')) return null;
  if (!target.startsWith('pipe:')) return `descriptor ${fd} is neither a file nor a pipe`;
  // Of an inherited pipe we hold the end to read from; of our own, the other one too.
  for (const name of await readdir('/proc/self/fd')) {
    const other = Number(name);
    if ((await linkOf(other)) === target && (await isWritten(other))) {
      return `descriptor ${fd} was not passed to us`;
    }
  }
  return null;
}

/** By the access mode among its flags (proc_pid_fdinfo(5), in octal). */
async function isWritten(fd: number): Promise<boolean> {
  // A descriptor that was closed meanwhile has no entry, and writes nothing.
  const info = await readFile(`/proc/self/fdinfo/${fd}`, 'latin1').catch(() => '');
  const flags = /^flags:\s+([0-7]+)$/m.exec(info)?.[1] ?? '0';
  return (Number.parseInt(flags, 8) & 0o3) !== 0;
}

async function linkOf(fd: number): Promise<string | null> {
  // A descriptor that is not open has no entry.
  return await readlink(`/proc/self/fd/${fd}`).catch(() => null);
}

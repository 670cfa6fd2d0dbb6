/**
 * The ELF kernel inside a bzImage (shell: runs the decompressor).
 *
 * The payload is found by its magic number, as the kernel's own `extract-vmlinux` does.
 */
import { spawn } from 'node:child_process';
import { buffer } from 'node:stream/consumers';
import { findProgram } from '../../net/vestibule/index.js';

const PACKINGS = [
  { magic: Buffer.from('fd377a585a00', 'hex'), program: 'xz', args: ['-dc', '--single-stream'] },
  { magic: Buffer.from('28b52ffd', 'hex'), program: 'zstd', args: ['-dc'] },
  { magic: Buffer.from('1f8b0800', 'hex'), program: 'gzip', args: ['-dc'] },
  { magic: Buffer.from('02214c18', 'hex'), program: 'lz4', args: ['-dc'] },
] as const;

const ELF = Buffer.from('7f454c46', 'hex');

/** Null where it cannot be had: the packed kernel starts too. */
export async function unpackKernel(packed: Buffer): Promise<Buffer | null> {
  for (const { magic, program, args } of PACKINGS) {
    const file = findProgram(program);
    for (let at = packed.indexOf(magic); at >= 0 && file !== null; at = packed.indexOf(magic, at + 1)) {
      const kernel = await unpack(file, args, packed.subarray(at));
      if (kernel.subarray(0, 4).equals(ELF)) return kernel;
    }
  }
  return null;
}

/** What follows the payload is no part of it, so the program complains and its exit says nothing. */
async function unpack(file: string, args: readonly string[], bytes: Buffer): Promise<Buffer> {
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'ignore'], env: {} });
  child.stdin.on('error', () => {});
  child.stdin.end(bytes);
  const failed = new Promise<Buffer>(resolve => child.once('error', () => resolve(Buffer.alloc(0))));
  return await Promise.race([buffer(child.stdout), failed]);
}

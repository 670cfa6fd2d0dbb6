/**
 * The read-only file system image that machines share (shell: runs sqfstar).
 *
 * squashfs, because it takes an archive from a pipe and so keeps owners, modes and links of an image without root and
 * without a user namespace, and because Debian's kernel mounts it. `docs/decisions/0049-lower-image.md` has the
 * measurements.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { errorCode, GatewayError } from '../../core/errors.js';
import { findProgram, SYSTEM_PATH } from '../../net/vestibule/index.js';
import { type Assembly, archiveOf } from './assemble.js';

export const LOWER_FS_TYPE = 'squashfs';

/** Writes the image to `path`, which must not exist. Nothing is left there after a failure. */
export async function writeLower(assembly: Assembly, path: string, signal?: AbortSignal): Promise<void> {
  const program = findProgram('sqfstar');
  if (program === null) {
    throw new GatewayError(
      'TOOL_MISSING',
      'sqfstar is not installed: it comes with the package squashfs-tools',
    );
  }
  const args = ['-comp', 'lz4', '-no-progress', '-quiet', '-mkfs-time', '0', '-processors', '2', path];
  const child = spawn(program, args, { env: { PATH: SYSTEM_PATH }, stdio: ['pipe', 'ignore', 'pipe'] });
  const said = textOf(child.stderr);
  const exit = once(child, 'close');
  try {
    const fed = pipeline(batched(archiveOf(assembly)), child.stdin, { signal }).catch(
      failure => failure as unknown,
    );
    const [code] = await exit;
    const failure = await fed;
    // A program that ended early leaves a broken pipe: what it said is the reason.
    if (failure instanceof Error && errorCode(failure) !== 'EPIPE') throw failure;
    const why = (await said).trim();
    if (/No space left|Disk quota exceeded/.test(why))
      throw Object.assign(new Error(why), { code: 'ENOSPC' });
    if (code !== 0 || failure !== undefined) throw new GatewayError('IMAGE_STORE_FAILED', `sqfstar: ${why}`);
  } catch (error) {
    child.kill('SIGKILL');
    await rm(path, { force: true });
    throw error;
  }
}

const BATCH_BYTES = 256 * 1024;

/** Headers are small: written one by one they would be a system call each. */
async function* batched(chunks: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    if (chunk.length === 0) continue;
    // A view into a buffer that its owner may reuse once we ask for more.
    held.push(chunk);
    bytes += chunk.length;
    if (bytes < BATCH_BYTES) continue;
    yield Buffer.concat(held);
    held = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(held);
}

async function textOf(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream) if (text.length < 4096) text += String(chunk);
  return text;
}

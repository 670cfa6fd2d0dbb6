/**
 * Where a spool ended, and what is to be mended of it before it goes on: a last line that a crash cut short is cut
 * off, and told.
 *
 * A shell. Nothing else is taken away: a line that was changed is evidence, and `sallyport events verify` finds it.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { GatewayError } from '../../core/errors.js';
import { hashOf, type Manifest, parseSpoolLine, type SegmentName } from './format.js';

export interface Tail {
  /** Number of the last segment, and of the last record. */
  readonly segment: number;
  readonly n: number;
  /** Hash of the last line. */
  readonly hash: string;
  readonly closed: boolean;
  /** What was done, one sentence each; empty: it was as it should be. */
  readonly mended: readonly string[];
}

const PIECE = 64 * 1024;

/** Reads the end of the newest segment that has a whole line. Throws `SPOOL_INVALID` where that line is none of ours. */
export async function mendTail(
  dir: string,
  manifest: Manifest,
  segments: readonly SegmentName[],
): Promise<Tail> {
  const mended: string[] = [];
  const none = { segment: manifest.segment - 1, n: manifest.first - 1, hash: manifest.prev, closed: true };
  for (const { file, segment, first } of [...segments].reverse()) {
    const path = join(dir, file);
    const handle = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
    try {
      const { line, cut } = await cutHalfLine(handle);
      if (line === null) {
        await unlink(path);
        mended.push(`${file} held no whole line and was removed`);
        continue;
      }
      const read = parseSpoolLine(line);
      if (read === null) throw unreadable(path);
      const n = read.kind === 'record' ? read.n : read.kind === 'head' ? first - 1 : read.n;
      if (cut > 0)
        mended.push(`${cut} bytes of a record that was not whole were cut off ${file}, after record ${n}`);
      const closed = read.kind === 'checkpoint' && read.closed;
      return { segment, n, hash: hashOf(line), closed, mended };
    } finally {
      await handle.close();
    }
  }
  return { ...none, mended };
}

/** The last whole line, null where there is none; what stands behind it is cut off, and counted. */
async function cutHalfLine(
  handle: FileHandle,
): Promise<{ readonly line: string | null; readonly cut: number }> {
  const { size } = await handle.stat();
  let text = Buffer.alloc(0);
  for (let start = size; start > 0; ) {
    const from = Math.max(0, start - PIECE);
    const piece = Buffer.alloc(start - from);
    await handle.read(piece, 0, piece.length, from);
    text = Buffer.concat([piece, text]);
    start = from;
    const end = text.lastIndexOf(0x0a);
    if (end < 0) continue;
    const begin = text.lastIndexOf(0x0a, end - 1);
    if (end === 0 || (begin < 0 && start > 0)) continue;
    const cut = text.length - end - 1;
    if (cut > 0) await truncate(handle, size - cut);
    return { line: text.toString('utf8', begin + 1, end), cut };
  }
  return { line: null, cut: size };
}

async function truncate(handle: FileHandle, size: number): Promise<void> {
  await handle.truncate(size);
  await handle.datasync();
}

function unreadable(path: string): GatewayError {
  const what =
    'its last line is none that sallyport wrote; see what `sallyport events verify` says, and begin another';
  return new GatewayError('SPOOL_INVALID', `${path}: ${what}`);
}

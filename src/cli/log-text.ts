/** A file that may be large and may still grow, from its beginning or near its end (shell: reads files). */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

export interface LogWish {
  /** Begin with the last so many lines. Null: with the first. */
  readonly lines: number | null;
  /** Go on with what is written meanwhile, until this says that nothing more will be. Null: end with the file. */
  readonly isOver: (() => Promise<boolean>) | null;
}

const BLOCK = 64 * 1024;
const LOOK_AGAIN_MS = 200;
const LINE_FEED = 0x0a;

/**
 * The bytes of the files one after the other; of those that are not there, none. The last may be renamed while it is
 * read, and another take its place.
 */
export async function* logText(paths: readonly string[], { lines, isOver }: LogWish): AsyncGenerator<Buffer> {
  const files: FileHandle[] = [];
  try {
    for (const path of paths) {
      const file = await openOrNull(path);
      if (file !== null) files.push(file);
    }
    const from = lines === null ? { index: 0, at: 0 } : await startOf(files, lines);
    let at = from.at;
    for (const file of files.slice(from.index)) {
      at = yield* rest(file, at);
      if (file !== files.at(-1)) at = 0;
    }
    if (isOver !== null) yield* growing(paths.at(-1) ?? '', files.at(-1) ?? null, at, isOver, files);
  } finally {
    for (const file of files) await file.close();
  }
}

async function* growing(
  path: string,
  last: FileHandle | null,
  at: number,
  isOver: () => Promise<boolean>,
  opened: FileHandle[],
): AsyncGenerator<Buffer> {
  let [file, place] = [last, at];
  for (let over = false; ; ) {
    if (file !== null) place = yield* rest(file, place);
    if (!(await isCurrent(file, path))) {
      const next = await openOrNull(path);
      if (next !== null) {
        // What came between the last look and the change of name.
        if (file !== null) yield* rest(file, place);
        opened.push(next);
        [file, place] = [next, 0];
        continue;
      }
    }
    if (over) return;
    await delay(LOOK_AGAIN_MS);
    // One more look after the end: what was written last is told too.
    over = await isOver();
  }
}

async function* rest(file: FileHandle, from: number): AsyncGenerator<Buffer, number> {
  for (let at = from; ; ) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(BLOCK), 0, BLOCK, at);
    if (bytesRead === 0) return at;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function isCurrent(file: FileHandle | null, path: string): Promise<boolean> {
  const [own, named] = [await file?.stat(), await stat(path).catch(() => null)];
  return own !== undefined && own.ino === named?.ino && own.dev === named.dev;
}

/** Where the last `lines` begin; blocks are read from the end, one at a time. */
async function startOf(
  files: readonly FileHandle[],
  lines: number,
): Promise<{ readonly index: number; readonly at: number }> {
  let wanted = lines;
  let isEnd = true;
  for (let index = files.length - 1; index >= 0; index -= 1) {
    const file = files[index] as FileHandle;
    for (let end = (await file.stat()).size; end > 0; ) {
      const from = Math.max(0, end - BLOCK);
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(end - from), 0, end - from, from);
      for (let at = bytesRead - 1; at >= 0; at -= 1) {
        const isLine = buffer[at] === LINE_FEED;
        // The line feed at the very end ends the last line; it begins none.
        if (isLine && !isEnd) wanted -= 1;
        if (wanted === 0 || lines === 0) return { index, at: from + at + 1 };
        isEnd = false;
      }
      end = from;
    }
  }
  return { index: 0, at: 0 };
}

async function openOrNull(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r');
  } catch {
    return null; // Nothing was written, or it was removed.
  }
}

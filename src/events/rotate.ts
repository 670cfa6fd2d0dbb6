/**
 * Old logs: `events.jsonl.1` is the last one, higher numbers are older.
 *
 * A shell. Only renames: whoever still reads an old log keeps it. A crash between two renames leaves a gap in the
 * numbers and loses nothing, because the oldest goes first.
 */
import { lstat, rename, rm } from 'node:fs/promises';
import { errorCode } from '../core/errors.js';

export interface RotateRule {
  /** Null: whatever its size. */
  readonly bytes: number | null;
  /** Null: whatever its age. */
  readonly ageMs: number | null;
  /** Old logs beside the current one; at least 1. */
  readonly keep: number;
}

/** Moves `path` aside, and the oldest away. Rejects with Node's error; then nothing newer was touched. */
export async function rotateAway(path: string, keep: number): Promise<void> {
  const last = await lastInRow(path, keep);
  // The row is full: its oldest gives its place up. Else the first free number ends the moving.
  if (last === keep) await rm(`${path}.${keep}`, { force: true });
  for (let number = Math.min(last, keep - 1); number >= 1; number--) {
    await rename(`${path}.${number}`, `${path}.${number + 1}`);
  }
  await rename(path, `${path}.1`);
}

/** The highest number, counted from 1 without a gap. */
async function lastInRow(path: string, keep: number): Promise<number> {
  for (let number = 1; number <= keep; number++) {
    if (!(await isThere(`${path}.${number}`))) return number - 1;
  }
  return keep;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/**
 * Removes what a spool need not keep any more: the manifest says so first, signed, and then the segments go.
 *
 * A shell. A segment is as old as the head of the one behind it, so that a file's own time, which anybody may set,
 * decides nothing.
 */
import { open, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { listSegments, writeManifest } from './folder.js';
import { type Head, type Manifest, parseSpoolLine, type SegmentName } from './format.js';
import type { SpoolKey } from './keys.js';
import { expired, type Kept, type Retention } from './retention.js';

/** What was removed. */
export interface Trimmed {
  readonly manifest: Manifest;
  readonly segments: number;
  readonly firstRecord: number;
  readonly lastRecord: number;
}

export class Trimmer {
  readonly #dir: string;
  readonly #key: SpoolKey;
  readonly #bounds: Retention;
  readonly #heads = new Map<string, Head | null>();

  constructor(dir: string, key: SpoolKey, bounds: Retention) {
    this.#dir = dir;
    this.#key = key;
    this.#bounds = bounds;
  }

  /** Null: nothing had to go. `now` is of a clock that does not jump; `current` stays, whatever its size. */
  async trim(manifest: Manifest, current: SegmentName, now: number): Promise<Trimmed | null> {
    const all = (await listSegments(this.#dir)).filter(({ segment }) => segment <= current.segment);
    const kept = await Promise.all(
      all.slice(0, -1).map((segment, at) => this.#look(segment, all[at + 1], now)),
    );
    const gone = kept.slice(0, expired(kept, this.#bounds, now, 0));
    const [oldest] = gone;
    const next = all[gone.length];
    if (oldest === undefined || next === undefined) return null;
    const head = await this.#headOf(next);
    const { segment, first } = next;
    const shorter = { ...manifest, segment, first, prev: head?.prev ?? manifest.prev };
    await writeManifest(this.#dir, shorter, this.#key);
    for (const { file } of gone) {
      await unlink(join(this.#dir, file));
      this.#heads.delete(file);
    }
    return { manifest: shorter, segments: gone.length, firstRecord: oldest.first, lastRecord: first - 1 };
  }

  async #look(segment: SegmentName, next: SegmentName | undefined, now: number): Promise<Kept> {
    const { size } = await stat(join(this.#dir, segment.file));
    const head = next === undefined ? null : await this.#headOf(next);
    return { ...segment, bytes: size, writtenAt: head?.timestamp ?? now };
  }

  async #headOf({ file }: SegmentName): Promise<Head | null> {
    const known = this.#heads.get(file);
    if (known !== undefined) return known;
    const handle = await open(join(this.#dir, file), 'r');
    try {
      const piece = Buffer.alloc(1_024);
      const { bytesRead } = await handle.read(piece, 0, piece.length, 0);
      const line = parseSpoolLine(piece.toString('latin1', 0, bytesRead).split('\n', 1)[0] ?? '');
      const head = line?.kind === 'head' ? line : null;
      this.#heads.set(file, head);
      return head;
    } finally {
      await handle.close();
    }
  }
}

/** A spool in a folder of its own, and the attacks on it. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../../src/core/clock.js';
import type { Event } from '../../../src/events/event.js';
import { readSpool } from '../../../src/events/spool/read.js';
import { openSpool, type SpoolOptions } from '../../../src/events/spool/spool.js';
import { type Verification, type VerifyOptions, verifySpool } from '../../../src/events/spool/verify.js';
import type { EventStore } from '../../../src/events/store.js';
import { allowedBody, numbered } from '../../support/events.js';

export class Place {
  readonly root: string;
  readonly dir: string;
  readonly keyDir: string;

  private constructor(root: string) {
    this.root = root;
    this.dir = join(root, 'spool');
    this.keyDir = join(root, 'state');
  }

  static async make(): Promise<Place> {
    return new Place(await mkdtemp(join(tmpdir(), 'sallyport-spool-')));
  }

  remove(): Promise<void> {
    return rm(this.root, { recursive: true, force: true });
  }

  open(options: Partial<SpoolOptions> = {}): Promise<EventStore> {
    return openSpool({ dir: this.dir, keyDir: this.keyDir, clock: systemClock, ...options });
  }

  verify(options: Partial<VerifyOptions> = {}): Promise<Verification> {
    return verifySpool(this.dir, { keyDir: this.keyDir, ...options });
  }

  /** Writes events `from` to `to` of `gateway` in batches of ten, and closes. */
  async run(gateway: string, from: number, to: number, options: Partial<SpoolOptions> = {}): Promise<void> {
    const spool = await this.open(options);
    for (let seq = from; seq <= to; seq += 10) {
      await spool.write(eventsOf(gateway, seq, Math.min(seq + 9, to)));
    }
    await spool.close?.();
  }

  async ids(from?: string): Promise<string[]> {
    const seen: string[] = [];
    for await (const batch of readSpool(this.dir, from === undefined ? {} : { from })) {
      seen.push(...batch.map(({ id }) => id));
    }
    return seen;
  }

  async segments(): Promise<string[]> {
    return (await readdir(this.dir)).filter(name => name.endsWith('.jsonl')).sort();
  }

  /** Changes the text of segment number `at` (from 0). */
  async tamper(at: number, change: (lines: string[]) => string[]): Promise<void> {
    const path = join(this.dir, (await this.segments())[at] ?? '');
    const lines = (await readFile(path, 'latin1')).trimEnd().split('\n');
    await writeFile(path, `${change(lines).join('\n')}\n`, 'latin1');
  }
}

export function eventsOf(gateway: string, from: number, to: number): Event[] {
  return Array.from({ length: to - from + 1 }, (_, at) => eventOf(gateway, from + at));
}

export function eventOf(gateway: string, seq: number): Event {
  return { ...numbered(allowedBody(), seq), id: `${gateway}-${seq}`, gateway_id: gateway };
}

export function idsOf(gateway: string, from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, at) => `${gateway}-${from + at}`);
}

/** A clock that a test sets. */
export function setClock(now: number): Clock & { wall: number; mono: number } {
  const clock = { wall: now, mono: 0, now: () => clock.wall, monotonic: () => clock.mono };
  return clock;
}

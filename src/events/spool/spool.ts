/**
 * The spool: events on disk, chained and signed, that outlive the gateway (`docs/reference/spool.md`).
 *
 * A shell: files, one timer, the clock that it is given. Bytes are written in the order of events by one writer; a
 * batch is acknowledged when it is as safe as `fsync` says.
 */
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Clock } from '../../core/clock.js';
import { GatewayError } from '../../core/errors.js';
import type { Emit, Event, EventBody } from '../event.js';
import type { Sink } from '../feeder.js';
import { PatientWriter } from '../patient.js';
import type { Bookmark, EventStore, Mark, StoreRead } from '../store.js';
import { openBookmark } from './bookmark.js';
import { claimFolder, listSegments, prepareFolder } from './folder.js';
import { type Manifest, parseSpoolLine } from './format.js';
import { openSpoolKey, readAnchor, type SpoolKey, writeAnchor } from './keys.js';
import { lockSpool } from './lock.js';
import { readSpool } from './read.js';
import type { Retention } from './retention.js';
import { type Link, Segment } from './segment.js';
import { mendTail, type Tail } from './tail.js';
import { Trimmer } from './trim.js';
import { Wakes } from './wakes.js';

/**
 * `always`: a batch is acknowledged when it is on the disk. `interval`: what is written goes to the disk every
 * `FSYNC_MS`, and is acknowledged then; a loss of power takes that much at most. `none`: acknowledged when the kernel
 * has it. The end of the process, by whatever signal, takes nothing that was acknowledged in any of them.
 */
export type FsyncPolicy = 'always' | 'interval' | 'none';

export interface SpoolOptions {
  readonly dir: string;
  /** Where the key and the anchors are; nothing in a sandbox may see it. */
  readonly keyDir: string;
  readonly clock: Clock;
  /** Default: `interval`. */
  readonly fsync?: FsyncPolicy;
  /** Default: 10 GiB, no bound on age. */
  readonly keep?: Partial<Retention>;
  /** Bytes beyond which a segment is ended. Default: 64 MiB. */
  readonly segmentBytes?: number;
  /** `block`, the default: while nothing can be put on record, what would carry a secret is refused. */
  readonly whenFull?: 'block' | 'drop-and-mark';
  /** Told once for each run of failures. */
  readonly onTrouble?: (error: GatewayError) => void;
  /** Told how far the record is safe: the number of a record, and the `id` of its event. */
  readonly onAcknowledged?: (n: number, id: string) => void;
}

export const FSYNC_MS = 250;

const CHECKPOINT_MS = 1_000;
const SEGMENT_BYTES = 64 * 1024 * 1024;
/** A segment is ended at this age, so that a bound on age has something to remove. */
const SEGMENT_MS = 24 * 3_600_000;
const KEEP: Retention = { maxBytes: 10 * 1024 ** 3, maxAgeMs: null };

/** Opens the spool, or begins it. Throws `GatewayError`: SPOOL_LOCKED, SPOOL_INVALID. */
export async function openSpool(options: SpoolOptions): Promise<EventStore> {
  const dir = resolve(options.dir);
  await prepareFolder(dir);
  const lock = await lockSpool(dir);
  try {
    const key = openSpoolKey(options.keyDir);
    const manifest = await claimFolder(dir, key, options.clock.now());
    await mkdir(join(dir, 'cursors'), { recursive: true, mode: 0o700 });
    const segments = (await listSegments(dir)).filter(({ segment }) => segment >= manifest.segment);
    const tail = await mendTail(dir, manifest, segments);
    const facts = factsOf(tail, readAnchor(options.keyDir, manifest.spool));
    return new Spool({ ...options, dir }, key, manifest, tail, facts, () => lock.close());
  } catch (error) {
    await lock.close();
    throw error;
  }
}

class Spool implements EventStore {
  readonly name: string;
  readonly whenFull: Sink['whenFull'];
  readonly opening: Mark;
  readonly #options: SpoolOptions;
  readonly #clock: Clock;
  readonly #fsync: FsyncPolicy;
  readonly #key: SpoolKey;
  readonly #unlock: () => Promise<void>;
  readonly #writer: PatientWriter;
  readonly #trimmer: Trimmer;
  readonly #wakes = new Wakes();
  /** How far the wall clock and the monotonic one were apart at the start: a jump later makes nothing old. */
  readonly #epoch: number;
  #manifest: Manifest;
  #facts: EventBody[];
  #emit: Emit | null = null;
  #last: Link;
  #segment: Segment | null = null;
  #lastId = '';
  /** Records that no checkpoint or fsync stands behind yet. */
  #unsettled = false;
  #closed = false;
  #timer: NodeJS.Timeout | null = null;
  /** Steps one after the other. */
  #work: Promise<void> = Promise.resolve();

  constructor(
    options: SpoolOptions,
    key: SpoolKey,
    manifest: Manifest,
    tail: Tail,
    facts: EventBody[],
    unlock: () => Promise<void>,
  ) {
    this.name = `spool ${options.dir}`;
    this.whenFull = options.whenFull ?? 'block';
    this.#options = options;
    this.#clock = options.clock;
    this.#epoch = options.clock.now() - options.clock.monotonic();
    this.#fsync = options.fsync ?? 'interval';
    this.#key = key;
    this.#manifest = manifest;
    this.#last = tail;
    this.opening = { from: `segment:${tail.segment + 1}`, count: tail.n };
    this.#facts = facts;
    this.#unlock = unlock;
    this.#trimmer = new Trimmer(options.dir, key, { ...KEEP, ...options.keep });
    this.#writer = new PatientWriter(this.name, error => options.onTrouble?.(error));
  }

  get failing(): boolean {
    return this.#writer.failing || this.#writer.broken !== null;
  }

  get removed(): number {
    return this.#manifest.first - 1;
  }

  bookmark(name: string): Bookmark {
    return openBookmark(join(this.#options.dir, 'cursors'), name);
  }

  tellTo(emit: Emit): void {
    this.#emit = emit;
    for (const fact of this.#facts.splice(0)) emit(fact);
  }

  write(events: readonly Event[]): Promise<void> {
    return this.#serially(() => this.#append(events));
  }

  async *read({ from, signal }: StoreRead): AsyncGenerator<readonly Event[]> {
    const { dir } = this.#options;
    yield* readSpool(dir, { from, follow: true, news: this.#wakes, ...(signal && { signal }) });
  }

  async close(signal?: AbortSignal): Promise<void> {
    const giveUp = (): void => this.#writer.giveUp();
    if (signal === undefined || signal.aborted || this.failing) giveUp();
    else signal.addEventListener('abort', giveUp, { once: true });
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    try {
      await this.#serially(() => this.#end(true));
    } finally {
      this.#closed = true;
      signal?.removeEventListener('abort', giveUp);
      this.#wakes.end();
      await this.#segment?.close();
      await this.#unlock();
    }
  }

  async #append(events: readonly Event[]): Promise<void> {
    const [first] = events;
    if (first === undefined) return;
    if (this.#closed) throw new GatewayError('GATEWAY_CLOSED', `${this.name} is closed`);
    const segment = await this.#segmentFor(first);
    await this.#writer.writeAll(segment.records(events), segment.write);
    this.#lastId = events.at(-1)?.id ?? '';
    this.#unsettled = true;
    if (this.#fsync === 'always') await this.#writer.attempt(() => segment.sync());
    if (this.#fsync !== 'interval') this.#acknowledge(segment);
    this.#wakes.wake();
    const waitMs = this.#fsync === 'interval' ? FSYNC_MS : CHECKPOINT_MS;
    // A fault stays with the writer: the next write tells the bus.
    this.#timer ??= setTimeout(() => this.#tick(), waitMs).unref();
  }

  #tick(): void {
    this.#timer = null;
    this.#serially(() => this.#settle(false)).catch(() => undefined);
  }

  /** What stands there is signed, and safe as far as `fsync` says. */
  async #settle(closed: boolean): Promise<void> {
    const segment = this.#segment;
    if (segment === null || (!this.#unsettled && !closed)) return;
    const { bytes, line } = segment.checkpoint(this.#timestamp(), closed);
    await this.#writer.writeAll(bytes, segment.write);
    if (this.#fsync !== 'none') await this.#writer.attempt(() => segment.sync());
    // Behind the record that it speaks of: an anchor never knows more than the disk.
    await this.#writer.attempt(async () => writeAnchor(this.#options.keyDir, this.#manifest.spool, line));
    this.#unsettled = false;
    this.#acknowledge(segment);
  }

  #acknowledge({ n }: Segment): void {
    this.#options.onAcknowledged?.(n, this.#lastId);
  }

  async #segmentFor(first: Event): Promise<Segment> {
    const current = this.#segment;
    if (current !== null) {
      const full = current.bytes >= (this.#options.segmentBytes ?? SEGMENT_BYTES);
      const old = this.#timestamp() - current.openedAt >= SEGMENT_MS;
      if (!full && !old) return current;
      await this.#end(false);
    }
    return await this.#begin(first);
  }

  async #begin(first: Event): Promise<Segment> {
    const { dir } = this.#options;
    const options = { dir, spool: this.#manifest.spool, sign: this.#key.sign, timestamp: this.#timestamp() };
    const segment = await this.#writer.attempt(() => Segment.begin(this.#last, first, options));
    this.#segment = segment;
    await this.#writer.writeAll(segment.head(), segment.write);
    await this.#writer.attempt(() => this.#trim(segment));
    return segment;
  }

  async #end(closed: boolean): Promise<void> {
    const segment = this.#segment;
    if (segment === null) return;
    await this.#settle(closed);
    this.#last = { segment: segment.name.segment, n: segment.n, hash: segment.hash };
    await segment.close();
    this.#segment = null;
  }

  async #trim({ name }: Segment): Promise<void> {
    const trimmed = await this.#trimmer.trim(this.#manifest, name, this.#timestamp());
    if (trimmed === null) return;
    this.#manifest = trimmed.manifest;
    const message = `${trimmed.segments} segments were removed: the spool is as large or as old as it may be`;
    this.#tell('spool.trimmed', message, [`records ${trimmed.firstRecord} to ${trimmed.lastRecord}`]);
  }

  #tell(type: EventBody['type'], message: string, detail: readonly string[]): void {
    const fact: EventBody = { type, sandbox: null, gateway: { message, detail } };
    if (this.#emit === null) this.#facts.push(fact);
    else this.#emit(fact);
  }

  #timestamp(): number {
    return Math.floor(this.#epoch + this.#clock.monotonic());
  }

  #serially(step: () => Promise<void>): Promise<void> {
    const done = this.#work.then(step);
    this.#work = done.catch(() => undefined);
    return done;
  }
}

/** What the opening found, for the record. */
function factsOf(tail: Tail, anchor: string | null): EventBody[] {
  const known = anchor === null ? null : parseSpoolLine(anchor);
  const detail = [...tail.mended];
  if (known?.kind === 'checkpoint' && known.n > tail.n) {
    detail.push(`records ${tail.n + 1} to ${known.n} were signed by this machine and are gone`);
  }
  if (!tail.closed && detail.length === 0)
    detail.push(`it goes on after record ${tail.n}, the last that was whole`);
  if (detail.length === 0) return [];
  const message = 'the spool was not closed by the gateway that wrote it last';
  return [{ type: 'spool.recovered', sandbox: null, gateway: { message, detail } }];
}

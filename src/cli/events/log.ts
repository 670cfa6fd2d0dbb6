/**
 * Reads a log for a command: batch after batch, with what is wrong in it told on standard error, until its end or an
 * interrupt (shell: signals).
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, GatewayError } from '../../core/errors.js';
import type { Event } from '../../events/event.js';
import { readLines } from '../../events/lines.js';
import { parseEvent } from '../../events/parse.js';
import { type BadLine, type ReadOptions, readEventBatches } from '../../events/read.js';
import { type Recorded, recordedInLine, recordedOf } from '../../events/report/recorded.js';
import { listSegments, readManifest } from '../../events/spool/folder.js';
import { parseSpoolLine } from '../../events/spool/format.js';
import { EXIT_OK, EXIT_USAGE, type Io } from '../io.js';

/** The report is made, of a log some of whose lines hold no event. */
export const EXIT_INCOMPLETE = 3;
const EXIT_INTERRUPTED = 130;

/** Lines without an event that are told one by one. */
const TOLD_LINES = 5;

type Take<T> = (batch: readonly T[]) => Promise<void> | void;

export interface LogOptions {
  readonly follow?: boolean;
  /** The `id` of an event: what comes after it. */
  readonly from?: string;
}

/** Exit code 0; 2: the log cannot be read; 3: some lines hold no event; 130: interrupted. */
export async function readLog(path: string, options: LogOptions, io: Io, take: Take<Event>): Promise<number> {
  return await guarded(path, io, async read => {
    for await (const batch of readEventBatches(path, { ...options, ...read })) await take(batch);
  });
}

/**
 * From where the last `count` events of `path` are found without reading all of it; undefined: from its beginning.
 * The segments of a spool tell the number of their first record.
 */
export async function nearEnd(path: string, count: number): Promise<string | undefined> {
  const segments = (await isFolder(path)) ? await listSegments(path).catch(() => []) : [];
  const end = segments.at(-1)?.first ?? 0;
  const near = segments.findLast(({ first }) => end - first >= count);
  return near === undefined ? undefined : `segment:${near.segment}`;
}

/** The same, of what `replay` and `suggest` ask about, and faster: most lines need no object of their own. */
export async function readFacts(path: string, io: Io, take: Take<Recorded>): Promise<number> {
  return await guarded(path, io, async read => {
    const folder = await isFolder(path);
    // What is no spool of ours says so.
    if (folder) await readManifest(path);
    const files = folder ? (await listSegments(path)).map(({ file }) => join(path, file)) : [path];
    for (const file of files) {
      for await (const { lines, firstLine } of ahead(readLines(file, read))) {
        const facts: Recorded[] = [];
        for (let i = 0; i < lines.length; i++) {
          const recorded = factIn(lines[i] ?? '', folder, { file, line: firstLine + i }, read);
          if (recorded !== null) facts.push(recorded);
        }
        await take(facts);
      }
    }
  });
}

/** The same, of which the next is always under way while one is worked on. */
async function* ahead<T>(batches: AsyncGenerator<T>): AsyncGenerator<T> {
  let coming = batches.next();
  try {
    for (;;) {
      const batch = await coming;
      if (batch.done === true) return;
      coming = batches.next();
      // Whoever waits for it hears of a failure; until then nobody is to be told.
      coming.catch(() => undefined);
      yield batch.value;
    }
  } finally {
    await batches.return(undefined);
  }
}

/** Null: the line tells nothing that a rule decides. */
function factIn(
  line: string,
  ofSpool: boolean,
  place: Omit<BadLine, 'reason'>,
  { onBadLine }: Reading,
): Recorded | null {
  const spooled = ofSpool ? parseSpoolLine(line) : null;
  // Heads and checkpoints of a spool are not events.
  if (spooled !== null && spooled.kind !== 'record') return null;
  const text = spooled?.event ?? line;
  const quick = recordedInLine(text);
  if (quick !== null) return quick;
  const parsed = parseEvent(text);
  if (parsed.ok) return recordedOf(parsed.value);
  onBadLine({ ...place, reason: parsed.error });
  return null;
}

type Reading = Required<Pick<ReadOptions, 'onBadLine' | 'signal'>>;

async function guarded(path: string, io: Io, work: (read: Reading) => Promise<void>): Promise<number> {
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.on('SIGINT', interrupt);
  let bad = 0;
  const onBadLine = ({ file, line, reason }: BadLine): void => {
    bad += 1;
    if (bad <= TOLD_LINES) io.stderr(`sallyport: ${file}:${line}: ${reason}\n`);
  };
  try {
    await work({ onBadLine, signal: interrupted.signal });
  } catch (error) {
    io.stderr(`sallyport: ${faultOf(path, error)}\n`);
    return EXIT_USAGE;
  } finally {
    process.off('SIGINT', interrupt);
  }
  if (bad > TOLD_LINES) io.stderr(`sallyport: ${path}: ${bad - TOLD_LINES} more lines hold no event\n`);
  if (interrupted.signal.aborted) return EXIT_INTERRUPTED;
  return bad > 0 ? EXIT_INCOMPLETE : EXIT_OK;
}

/** What is no fault of the log is a bug, and thrown. */
function faultOf(path: string, error: unknown): string {
  if (error instanceof GatewayError) return error.message;
  const code = errorCode(error);
  if (!/^E[A-Z]+$/.test(code)) throw error;
  return `${path}: cannot be read (${code})`;
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    // Whoever opens it says why it cannot be read.
    return false;
  }
}

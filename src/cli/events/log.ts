/**
 * Reads a log for a command: batch after batch, with what is wrong in it told on standard error, until its end or an
 * interrupt (shell: signals).
 */
import { stat } from 'node:fs/promises';
import { errorCode, GatewayError } from '../../core/errors.js';
import type { Event } from '../../events/event.js';
import { readLines } from '../../events/lines.js';
import { parseEvent } from '../../events/parse.js';
import { type BadLine, type ReadOptions, readEventBatches } from '../../events/read.js';
import { type Recorded, recordedInLine, recordedOf } from '../../events/report/recorded.js';
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

/** The same, of what `replay` and `suggest` ask about, and faster: most lines need no object of their own. */
export async function readFacts(path: string, io: Io, take: Take<Recorded>): Promise<number> {
  return await guarded(path, io, async read => {
    if (await isFolder(path)) {
      for await (const batch of readEventBatches(path, read)) await take(batch.flatMap(fact));
      return;
    }
    for await (const { lines, firstLine } of readLines(path, read)) {
      const facts: Recorded[] = [];
      for (let i = 0; i < lines.length; i++) {
        const line = lines[i] ?? '';
        const quick = recordedInLine(line);
        if (quick !== undefined) {
          if (quick !== null) facts.push(quick);
          continue;
        }
        const parsed = parseEvent(line);
        if (parsed.ok) facts.push(...fact(parsed.value));
        else read.onBadLine({ file: path, line: firstLine + i, reason: parsed.error });
      }
      await take(facts);
    }
  });
}

function fact(event: Event): readonly Recorded[] {
  const recorded = recordedOf(event);
  return recorded === null ? [] : [recorded];
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

/** `--spool` and `events verify`: from flags to a spool that is open, or judged. */
import { resolve } from 'node:path';
import { systemClock } from '../core/clock.js';
import { GatewayError } from '../core/errors.js';
import type { FsyncPolicy } from '../events/spool/spool.js';
import type { EventStore } from '../events/store.js';
import { parseSize } from '../sinks/values.js';
import { EXIT_USAGE, type Io } from './io.js';
import { statePaths } from './paths.js';

export interface SpoolFlags {
  /** The folder. */
  readonly spool?: string;
  readonly spoolFsync?: FsyncPolicy;
  /** A size such as 10GiB. */
  readonly spoolKeep?: string;
  readonly spoolKeepDays?: string;
  readonly spoolFull?: 'block' | 'drop-and-mark';
}

const DAY_MS = 24 * 3_600_000;

/** Null: no `--spool`. Throws `CONFIG_INVALID`, `SPOOL_LOCKED`, `SPOOL_INVALID`. */
export async function openFlaggedSpool(flags: SpoolFlags, io: Io): Promise<EventStore | null> {
  const { spool, spoolFsync, spoolKeep, spoolKeepDays, spoolFull } = flags;
  if (spool === undefined) {
    if (spoolFsync ?? spoolKeep ?? spoolKeepDays ?? spoolFull)
      throw invalid('--spool-fsync, --spool-keep and --spool-full need --spool DIR');
    return null;
  }
  const { openSpool } = await import('../events/spool/spool.js');
  return await openSpool({
    dir: spool,
    keyDir: statePaths(process.env).spoolKey,
    clock: systemClock,
    fsync: spoolFsync ?? 'interval',
    whenFull: spoolFull ?? 'block',
    keep: {
      ...(spoolKeep !== undefined && { maxBytes: sizeOf(spoolKeep) }),
      ...(spoolKeepDays !== undefined && { maxAgeMs: daysOf(spoolKeepDays) * DAY_MS }),
    },
    onTrouble: error => io.stderr(`sallyport: ${error.message}\n`),
  });
}

/** What no sandbox may see of it. */
export function spoolFiles({ spool }: SpoolFlags): readonly string[] {
  return spool === undefined ? [] : [resolve(spool)];
}

function sizeOf(text: string): number {
  const size = parseSize(text);
  if (!size.ok) throw invalid(`--spool-keep: ${size.error}`);
  return size.value;
}

function daysOf(text: string): number {
  const days = Number(text);
  if (!/^\d{1,5}$/.test(text) || days < 1)
    throw invalid(`--spool-keep-days: '${text}' is not a number of days`);
  return days;
}

function invalid(message: string): GatewayError {
  return new GatewayError('CONFIG_INVALID', message);
}

export interface VerifyFlags {
  readonly key?: string;
  readonly expect?: string;
  readonly json: boolean;
}

/** Exit code 0: whole; 1: something was changed, cut out or put in; 2: it cannot be judged. */
export async function runEventsVerify(dir: string, flags: VerifyFlags, io: Io): Promise<number> {
  const { verifySpool } = await import('../events/spool/verify.js');
  const { key, expect } = flags;
  if (key !== undefined && !/^[\w-]{43}$/.test(key)) {
    io.stderr('--key: not a public key as `sallyport events verify` prints it\n');
    return EXIT_USAGE;
  }
  try {
    const keyDir = statePaths(process.env).spoolKey;
    const found = await verifySpool(dir, { keyDir, ...(key && { key }), ...(expect && { expect }) });
    if (flags.json) io.stdout(`${JSON.stringify(found)}\n`);
    else io.stdout(reportOf(found));
    return found.faults.length === 0 ? 0 : 1;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    io.stderr(`${error.message}\n`);
    return EXIT_USAGE;
  }
}

type Found = Awaited<ReturnType<typeof import('../events/spool/verify.js')['verifySpool']>>;

function reportOf(found: Found): string {
  const { faults, notes, records, segments, first, n, signed, hash, key, closed } = found;
  const whole = faults.length === 0 ? 'whole' : `NOT WHOLE: ${faults.length} faults`;
  const lines = [
    ...faults.map(
      ({ file, line, what }) => `${file === '' ? 'the spool' : file}${line > 0 ? `:${line}` : ''}: ${what}`,
    ),
    ...notes.map(note => `note: ${note}`),
    `${whole}: ${records} records in ${segments} segments (${first} to ${n}), signed up to ${signed}, ${closed ? 'closed' : 'not closed'}`,
    `key  ${key}`,
    `head ${hash}`,
  ];
  return `${lines.join('\n')}\n`;
}

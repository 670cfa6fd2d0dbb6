/** `sallyport events tail LOG`: events as a table that a person can read, or as JSON lines; with `--follow`, on and on. */
import { parseHost } from '../../core/host.js';
import { err, ok, type Result } from '../../core/result.js';
import { isDenialOrWouldBe } from '../../events/denial.js';
import { encodeAscii } from '../../events/encode.js';
import type { Event } from '../../events/event.js';
import { compileFilter } from '../../events/filter.js';
import { createTable, type Table } from '../../events/report/table.js';
import { matchesHost, parseHostPattern } from '../../policy/pattern.js';
import { EXIT_OK, EXIT_USAGE, type Io } from '../io.js';
import { nearEnd, readLog } from './log.js';
import { type Paper, standardOutput } from './paper.js';

export interface TailFlags {
  readonly sandbox?: string;
  readonly host?: string;
  readonly denied: boolean;
  readonly filter?: string;
  readonly follow: boolean;
  readonly json: boolean;
  /** A `seq`, or the `id` of an event. */
  readonly from?: string;
  readonly lines?: string;
}

/** What a person is shown of a log without `--from` and `--lines`. */
const LAST_LINES = 20;

/** Exit code 0; 2: bad usage, or the log cannot be read; 3: some lines hold no event; 130: interrupted. */
export async function runTail(path: string, flags: TailFlags, io: Io): Promise<number> {
  const wanted = selection(flags);
  const from = parseFrom(flags.from);
  const last = parseLines(flags);
  for (const parsed of [wanted, from, last]) {
    if (parsed.ok) continue;
    io.stderr(`sallyport: ${parsed.error}\n`);
    return EXIT_USAGE;
  }
  if (!wanted.ok || !from.ok || !last.ok) return EXIT_USAGE;
  const printer = new Printer(standardOutput(), flags.json, last.value);
  const { id, seq } = from.value;
  const whole = last.value === null || selects(flags);
  const start = id ?? (whole ? undefined : await nearEnd(path, last.value));
  const options = { follow: flags.follow, ...(start !== undefined && { from: start }) };
  const reading = readLog(path, options, io, async events => {
    for (const event of events) if (event.seq >= seq && wanted.value(event)) await printer.take(event);
    // Whoever follows sees what there is once there is no more for now.
    if (flags.follow) await printer.flush();
  });
  const code = await reading;
  await printer.flush();
  return code === EXIT_OK && !printer.printed && !flags.json ? told(io, path) : code;
}

/** With a condition, the last few that meet it may stand anywhere. */
function selects({ sandbox, host, denied, filter }: TailFlags): boolean {
  return denied || (sandbox ?? host ?? filter) !== undefined;
}

function told(io: Io, path: string): number {
  io.stderr(`sallyport: ${path}: no event to show\n`);
  return EXIT_OK;
}

type Wanted = (event: Event) => boolean;

function selection({ sandbox, host, denied, filter }: TailFlags): Result<Wanted, string> {
  const tests: Wanted[] = [];
  if (sandbox !== undefined) tests.push(event => event.sandbox === sandbox);
  if (denied) tests.push(isDenialOrWouldBe);
  if (host !== undefined) {
    const pattern = parseHostPattern(host);
    if (!pattern.ok) return err(`--host: ${pattern.error}`);
    tests.push(({ network }) => {
      const text = network?.host ?? '';
      const parsed = parseHost(text.includes(':') ? `[${text}]` : text);
      return parsed.ok && matchesHost(pattern.value, parsed.value);
    });
  }
  if (filter !== undefined) {
    const compiled = compileFilter(filter);
    if (!compiled.ok) return err(`--filter: column ${compiled.error.column}: ${compiled.error.message}`);
    tests.push(compiled.value);
  }
  return ok(event => tests.every(test => test(event)));
}

interface From {
  readonly id: string | null;
  readonly seq: number;
}

function parseFrom(text: string | undefined): Result<From, string> {
  if (text === undefined) return ok({ id: null, seq: 0 });
  if (/^\d{1,15}$/.test(text)) return ok({ id: null, seq: Number(text) });
  if (/^[!-~]{1,128}$/.test(text)) return ok({ id: text, seq: 0 });
  return err('--from: neither a seq nor the id of an event');
}

/** Null: all. */
function parseLines({ lines, from, json }: TailFlags): Result<number | null, string> {
  if (lines === undefined) return ok(from === undefined && !json ? LAST_LINES : null);
  if (lines === 'all') return ok(null);
  return /^[1-9]\d{0,5}$/.test(lines) ? ok(Number(lines)) : err('--lines: not a number above zero, nor all');
}

/** Prints at once, or keeps the last few until there is no more. */
class Printer {
  readonly #paper: Paper;
  readonly #table: Table | null;
  #last: number | null;
  #kept: Event[] = [];
  printed = false;

  constructor(paper: Paper, json: boolean, last: number | null) {
    this.#paper = paper;
    this.#table = json ? null : createTable({ colour: paper.colour, width: paper.width });
    this.#last = last;
  }

  async take(event: Event): Promise<void> {
    if (this.#last === null) return await this.#print([event]);
    this.#kept.push(event);
    if (this.#kept.length > this.#last * 2) this.#kept = this.#kept.slice(-this.#last);
  }

  /** The last few, and from here on everything. */
  async flush(): Promise<void> {
    if (this.#last !== null) await this.#print(this.#kept.slice(-this.#last));
    this.#kept = [];
    this.#last = null;
  }

  async #print(events: readonly Event[]): Promise<void> {
    if (events.length === 0) return;
    const table = this.#table;
    const header = table !== null && !this.printed ? `${table.header}\n` : '';
    this.printed = true;
    const lines = events.map(event => `${table === null ? encodeAscii(event) : table.row(event)}\n`);
    await this.#paper.write(`${header}${lines.join('')}`);
  }
}

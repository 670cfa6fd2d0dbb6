/** The built command line, run as a user would run it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Event } from '../../src/events/event.js';

/** `SALLYPORT_MAIN` names another build: an installed package, say. */
export const MAIN = process.env.SALLYPORT_MAIN ?? join(__dirname, '..', '..', 'dist', 'cli', 'main.js');

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** What `--event-log` wrote; empty without `events`. */
  readonly events: readonly Event[];
}

export interface CliOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly input?: string;
  /** Writes an event log and reads it back. */
  readonly events?: boolean;
}

/** A folder of one's own: state, working directory and files of one test. */
export class Workplace {
  readonly dir = mkdtempSync(join(tmpdir(), 'sallyport-test-'));
  readonly #children = new Set<ChildProcess>();
  #runs = 0;

  file(name: string, content: string | Uint8Array, mode = 0o600): string {
    const path = join(this.dir, name);
    writeFileSync(path, content, { mode });
    return path;
  }

  /** Ends what still runs, as after a test that failed, and leaves nothing behind. */
  remove(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Starts `sallyport ...args`; the caller ends it. */
  start(args: readonly string[], { env = {}, cwd = this.dir }: CliOptions = {}) {
    const child = spawn(process.execPath, [MAIN, ...args], {
      cwd,
      env: {
        PATH: process.env.PATH,
        HOME: this.dir,
        SALLYPORT_STATE: join(this.dir, 'state'),
        LANG: 'C.UTF-8',
        ...env,
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#children.add(child);
    child.once('close', () => this.#children.delete(child));
    // A command that does not read its input ends before we have written it.
    child.stdin.on('error', () => undefined);
    return child;
  }

  /** Runs `sallyport ...args` to its end. */
  async sallyport(args: readonly string[], options: CliOptions = {}): Promise<Finished> {
    const log = join(this.dir, `events-${++this.#runs}.jsonl`);
    const [name = '', ...rest] = args;
    const child = this.start(options.events ? [name, '--event-log', log, ...rest] : args, options);
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', chunk => out.push(chunk));
    child.stderr.on('data', chunk => err.push(chunk));
    child.stdin.end(options.input ?? '');
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>(resolve =>
      child.once('close', (...ended) => resolve(ended)),
    );
    return {
      code,
      signal,
      stdout: Buffer.concat(out).toString(),
      stderr: Buffer.concat(err).toString(),
      events: options.events ? readEvents(log) : [],
    };
  }
}

export function readEvents(path: string): Event[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter(line => line !== '').map(line => JSON.parse(line) as Event);
}

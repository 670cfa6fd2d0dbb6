/** Programs that a run starts: pinned, watched, and ended with it (shell: child processes). */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { Command, Outcome, Report, Route, Work } from './load/command.js';

const children = new Set<ChildProcess>();

/** Starts `argv`; what it says goes to `log`. */
export function start(
  argv: readonly string[],
  log: string,
  env: Readonly<Record<string, string>> = {},
): ChildProcess {
  const [command = '', ...args] = argv;
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  const out = createWriteStream(log, { flags: 'a' });
  child.stderr.pipe(out);
  child.on('error', error => out.write(`${error.message}\n`));
  child.stdin.on('error', () => undefined);
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

/** Ends `child`, by force after a while. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise(resolve => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 3_000);
  await gone;
  clearTimeout(timer);
}

export async function stopAll(): Promise<void> {
  await Promise.all([...children].map(stop));
}

/** Waits until `child` accepts connections on the loopback port. Throws after ten seconds, or when it has ended. */
export async function listening(port: number, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    // Something else may listen there, left over from another run.
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('it has ended');
    const open = await new Promise<boolean>(resolve => {
      const socket = net.connect({ port, host: '127.0.0.1' });
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (open) return;
    await delay(100);
  }
  throw new Error(`nothing listens on port ${port}`);
}

/** Longest that one measurement may take. */
const PATIENCE_MS = 60_000;

/** A load generator somewhere, spoken to by lines. */
export class Agent {
  readonly child: ChildProcess;
  readonly #waiting: ((report: Report) => void)[] = [];
  readonly #come: Report[] = [];

  constructor(child: ChildProcess) {
    this.child = child;
    if (child.stdout === null) throw new TypeError('the agent has no standard output');
    createInterface({ input: child.stdout }).on('line', line => this.#take(JSON.parse(line) as Report));
    child.once('exit', code => this.#take({ event: 'failed', message: `the load ended with ${code}` }));
  }

  #take(report: Report): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#come.push(report);
    else next(report);
  }

  async next(): Promise<Report> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) throw new Error('the load has ended');
    const report = this.#come.shift() ?? (await new Promise<Report>(resolve => this.#waiting.push(resolve)));
    if (report.event === 'failed') throw new Error(report.message);
    return report;
  }

  /** `onBegin` is called when the clock starts. */
  async perform(route: Route, work: Work, onBegin: () => void): Promise<Outcome> {
    const command: Command = { route, work };
    // A load that hangs is ended: what it is asked later fails at once.
    const timer = setTimeout(() => this.child.kill('SIGKILL'), PATIENCE_MS);
    try {
      this.child.stdin?.write(`${JSON.stringify(command)}\n`);
      await this.next();
      onBegin();
      const report = await this.next();
      if (report.event !== 'end') throw new Error(`the load said ${report.event}`);
      return report.outcome;
    } finally {
      clearTimeout(timer);
    }
  }
}

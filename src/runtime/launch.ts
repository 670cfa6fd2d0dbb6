/**
 * Starts a supervisor (shell: a process of its own), and tells it over a pipe what no file, argument or environment
 * may hold.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { ErrVMStartFailed } from '../vm/index.js';
import { parseError } from './wire.js';

export interface Launch {
  readonly id: string;
  readonly homeDir: string;
  readonly caDir: string;
  readonly ledgerDir: string;
  /** The sandbox outlives whoever started it. */
  readonly detach: boolean;
  /** What `value_from: env` finds. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Of the secrets that are not written down, by name. */
  readonly values: ReadonlyMap<string, string>;
}

/** What a supervisor holds on to: as long as it is open, and the sandbox not detached, the sandbox may run. */
export interface Lifeline {
  /** Lets go: the supervisor ends the sandbox, unless it is detached. */
  release(): void;
}

/** Variables that programs of the host cannot do without. */
const KEPT = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'XDG_RUNTIME_DIR', 'SSL_CERT_FILE', 'JAVA_HOME', 'TZ'];

/** Resolves when the sandbox takes commands. Throws what kept it from that. */
export async function launchSupervisor(launch: Launch, logFile: string): Promise<Lifeline> {
  const log = openSync(logFile, 'a', 0o600);
  const env = Object.fromEntries(KEPT.map(name => [name, process.env[name]]));
  const child = spawn(process.execPath, [supervisorFile(), launch.id], {
    // A session of its own: what a terminal sends to its foreground is not meant for the sandbox.
    detached: true,
    cwd: '/',
    env,
    stdio: ['pipe', 'pipe', log],
  });
  closeSync(log);
  const failed = new Promise<never>((_, reject) => {
    child.once('error', cause => reject(new ErrVMStartFailed('the supervisor cannot be started', { cause })));
    child.once('exit', () => reject(new ErrVMStartFailed(`the supervisor ended at once; see ${logFile}`)));
  });
  failed.catch(() => {}); // Asked below; after the report nobody asks any more.
  const { stdin, stdout } = child as { readonly stdin: Writable; readonly stdout: Readable };
  stdin.on('error', () => {}); // It ended before it had read all: its exit is told.
  stdin.write(`${emitLaunch(launch)}\n`);
  const report = await Promise.race([reportOf(stdout), failed]);
  if (report !== 'ok') throw parseError(report);
  child.unref();
  stdout.destroy();
  unreferenced(stdin);
  if (launch.detach) stdin.end();
  return { release: () => stdin.destroy() };
}

/** One line, which is `ok` or an error. */
async function reportOf(stdout: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stdout) {
    text += String(chunk);
    if (text.includes('\n')) return text.trim();
  }
  return await new Promise(() => {}); // It ended without a word: its exit is told.
}

/** A pipe of Node's keeps the process alive, and this one is to close with it. */
function unreferenced(stream: Writable): void {
  if ('unref' in stream && typeof stream.unref === 'function') stream.unref();
}

/** The bundled supervisor, beside the bundled command line: also for the library, and for a caller in the sources. */
function supervisorFile(): string {
  const here = fileURLToPath(new URL('./supervise.js', import.meta.url));
  return here.replace(/\/(?:src|dist)\/runtime\/(supervise\.js)$/, '/dist/cli/$1');
}

function emitLaunch({ values, ...rest }: Launch): string {
  return JSON.stringify({ ...rest, values: Object.fromEntries(values) });
}

export function parseLaunch(text: string): Launch {
  const { values, ...rest } = JSON.parse(text) as Omit<Launch, 'values'> & {
    readonly values: Record<string, string>;
  };
  return { ...rest, values: new Map(Object.entries(values)) };
}

/** Starts the arena and its attackers from one bundle each, and measures what a victim feels. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import tls from 'node:tls';
import { type Origin, startOrigin } from '../differential/origins.js';
import type { TestCa } from '../support/tls.js';
import type { ArenaOptions, ArenaPorts } from './arena.js';

/** Tests and measurements are started there. */
const ROOT = process.cwd();
/** Inside the checkout: packages are found from here. */
const BUNDLES = join(ROOT, '.cache', 'hostile');

function bundle(name: 'arena' | 'arena-gateway' | 'attacker'): string {
  mkdirSync(BUNDLES, { recursive: true });
  const outfile = join(BUNDLES, `${name}.mjs`);
  const flags = ['--bundle', '--packages=external', '--platform=node', '--format=esm', '--log-level=error'];
  execFileSync(join(ROOT, 'node_modules/.bin/esbuild'), [
    join(ROOT, 'test/hostile', `${name}.ts`),
    ...flags,
    `--outfile=${outfile}`,
  ]);
  return outfile;
}

export interface Arena extends ArenaPorts {
  /** Open descriptors of the gateway's process. */
  descriptors(): number;
  residentBytes(): number;
  close(): Promise<void>;
}

export async function startArena(options: ArenaOptions, maxDescriptors?: number): Promise<Arena> {
  bundle('arena-gateway');
  const command = [process.execPath, bundle('arena'), JSON.stringify(options)];
  const argv = maxDescriptors === undefined ? command : ['prlimit', `--nofile=${maxDescriptors}`, ...command];
  const child = spawn(argv[0] ?? '', argv.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const pid = child.pid ?? 0;
  return {
    ...(JSON.parse(line) as ArenaPorts),
    descriptors: () => readdirSync(`/proc/${pid}/fd`).length,
    residentBytes: () => residentBytes(pid),
    close: async () => {
      if (child.exitCode !== null) return;
      child.stdin.end();
      await once(child, 'exit');
    },
  };
}

function residentBytes(pid: number): number {
  const [, pages = '0'] = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ');
  return Number(pages) * 4_096;
}

export type AttackKind = 'rapid-reset' | 'half-open' | 'names' | 'flood' | 'connections';

/** One of our own; gives back how often it struck. */
export function attack(kind: AttackKind, port: number, seconds: number): Attack {
  attackerPath ??= bundle('attacker');
  return run([process.execPath, attackerPath, kind, String(port), String(seconds)]);
}

let attackerPath: string | null = null;

export interface Attack {
  /** What it printed. */
  readonly ended: Promise<string>;
  kill(): void;
}

/**
 * A packaged tool. It gets what time the gateway leaves: how the kernel shares out its cores is not the subject. Idle
 * tasks give way at once; a nice one may run to the end of its slice, some milliseconds.
 */
export function run(argv: readonly string[]): Attack {
  const child: ChildProcess = spawn('chrt', ['--idle', '0', ...argv], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const out: Buffer[] = [];
  child.stdout?.on('data', chunk => out.push(chunk));
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', reject).once('close', () => resolve(Buffer.concat(out).toString()));
  });
  return { ended, kill: () => void child.kill('SIGKILL') };
}

export interface NamedAttack {
  readonly name: string;
  /** Against one sandbox's ports, for so many seconds where the tool wants to know. */
  start(hostile: ArenaPorts['hostile'], seconds: number): Attack;
}

/** Every kind of load that one sandbox may turn against the others. */
export const ATTACKS: readonly NamedAttack[] = [
  { name: 'slow heads', start: ({ plain }) => run(slow(plain, '-H')) },
  { name: 'slow bodies', start: ({ plain }) => run(slow(plain, '-B', '-s', '8192')) },
  {
    name: 'slow readers',
    start: ({ plain }) => run(slow(plain, '-X', '-w', '1', '-y', '2', '-n', '1', '-z', '1', '-k', '3')),
  },
  { name: 'rapid resets', start: ({ secure }, seconds) => attack('rapid-reset', secure, seconds) },
  { name: 'half-open handshakes', start: ({ secure }, seconds) => attack('half-open', secure, seconds) },
  { name: 'ten thousand names', start: ({ secure }, seconds) => attack('names', secure, seconds) },
  { name: 'a flood of requests', start: ({ secure }, seconds) => attack('flood', secure, seconds) },
  { name: 'h2load', start: ({ secure }, seconds) => run(h2load(secure, seconds)) },
  {
    name: 'connections without end',
    start: ({ plain }, seconds) => attack('connections', plain, seconds),
  },
];

/** slowhttptest with a thousand connections, its requests directed to the plain port as to a proxy. */
function slow(plain: number, ...mode: readonly string[]): readonly string[] {
  const pace = ['-c', '1000', '-r', '500', '-i', '1', '-l', '6', '-p', '3'];
  return ['slowhttptest', ...mode, ...pace, '-d', `127.0.0.1:${plain}`, '-u', 'http://allowed.test/'];
}

function h2load(secure: number, seconds: number): readonly string[] {
  const load = ['-D', String(seconds), '-c', '8', '-m', '50'];
  return ['h2load', ...load, `--connect-to=127.0.0.1:${secure}`, 'https://allowed.test/'];
}

/**
 * The upstream that is attacked through the gateway, which gets what time is left, like its attackers, and the victim's
 * own: what an upstream does to those that share it, or a processor, is not the subject.
 */
export async function startOrigins(ca: TestCa): Promise<{ attacked: Origin; quiet: Origin }> {
  const attacked = await startOrigin('nginx', ca, ['allowed.test', '*.allowed.test'], { isIdle: true });
  return { attacked, quiet: await startOrigin('nginx', ca, ['quiet.test']) };
}

/** A well-behaved client: one request after the other on one connection. */
export class Victim {
  readonly #socket: tls.TLSSocket;

  private constructor(socket: tls.TLSSocket) {
    this.#socket = socket;
  }

  static async connect(port: number, caPem: string): Promise<Victim> {
    const socket = tls.connect({ host: '127.0.0.1', port, servername: 'quiet.test', ca: caPem });
    await once(socket, 'secureConnect');
    socket.setNoDelay(true);
    return new Victim(socket);
  }

  /** Milliseconds that one request took. */
  async request(): Promise<number> {
    const start = performance.now();
    this.#socket.write('GET /victim HTTP/1.1\r\nHost: quiet.test\r\n\r\n');
    let text = '';
    while (!text.includes('\r\n\r\n') || !text.endsWith('ok')) {
      const [chunk] = (await once(this.#socket, 'data')) as [Buffer];
      text += chunk.toString('latin1');
    }
    if (!text.startsWith('HTTP/1.1 200')) throw new Error(text.slice(0, 200));
    return performance.now() - start;
  }

  /** Latencies of one request after the other for so long, with a breath between them. */
  async measure(milliseconds: number): Promise<number[]> {
    const end = performance.now() + milliseconds;
    const latencies: number[] = [];
    while (performance.now() < end) {
      latencies.push(await this.request());
      await new Promise(resolve => setTimeout(resolve, 4));
    }
    return latencies;
  }

  close(): void {
    this.#socket.destroy();
  }
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

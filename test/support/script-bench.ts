/** A gateway on loopback whose policy script a test writes, and writes anew. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { documentFrom } from '../../src/policy/document.js';
import { type Bench, type BenchOptions, openBench } from './bench.js';
import { raw } from './upstream.js';

export const HOST = 'api.allowed.test';

export interface ScriptBench extends Bench {
  /** Puts `source` in force for the requests that follow. Rejects where it does not load. */
  script(source: string): Promise<void>;
  /** One plain request, on a connection of its own. */
  ask(path?: string, options?: AskOptions): Promise<Seen>;
}

export interface AskOptions {
  readonly method?: string;
  readonly headers?: readonly string[];
  readonly body?: string;
  readonly sandbox?: string;
  readonly host?: string;
}

export interface Seen {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** Of a refusal: its code. */
  readonly reason: string | null;
}

export interface ScriptBenchOptions extends Partial<Omit<BenchOptions, 'policy'>> {
  readonly policy?: object;
  /** Of a call, in milliseconds. Default: much, because a test's machine may be busy. */
  readonly timeoutMs?: number;
}

const ALLOW_ALL = 'export function onRequest() { return { allow: true }; }';

export async function openScriptBench(
  source: string = ALLOW_ALL,
  { policy = { allow_domain: [HOST] }, timeoutMs = 2_000, ...options }: ScriptBenchOptions = {},
): Promise<ScriptBench> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-script-'));
  const path = join(folder, 'policy.js');
  writeFileSync(path, source);
  const whole = { ...policy, policy_script: path, script: { timeout_ms: timeoutMs } };
  const bench = await openBench({ ...options, policy: whole });
  const dispose = bench[Symbol.asyncDispose].bind(bench);
  return Object.assign(bench, {
    async script(next: string): Promise<void> {
      writeFileSync(path, next);
      const document = documentFrom(whole, 'bench');
      if (!document.ok) throw new Error(JSON.stringify(document.error));
      await bench.gateway.reload([document.value]);
    },
    ask: (target = '/', asked: AskOptions = {}) => ask(bench, target, asked),
    async [Symbol.asyncDispose](): Promise<void> {
      await dispose();
      rmSync(folder, { recursive: true, force: true });
    },
  });
}

async function ask(bench: Bench, path: string, options: AskOptions): Promise<Seen> {
  const { method = 'GET', headers = [], body, sandbox, host = HOST } = options;
  const socket = await bench.connect({ host, port: 80, ...(sandbox !== undefined && { sandbox }) });
  const length = body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
  const lines = [`${method} ${path} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...length, ...headers];
  const text = `${lines.join('\r\n')}\r\n\r\n${body ?? ''}`;
  const { answers } = await raw(socket, Buffer.from(text), { halfCloseAfterMs: null, timeoutMs: 15_000 });
  const [answer] = answers;
  if (answer === undefined) return { status: 0, headers: new Map(), body: '', reason: null };
  const content = answer.body.toString();
  const fields = new Map(answer.headers.map(([name, value]) => [name.toLowerCase(), value]));
  return { status: answer.status, headers: fields, body: content, reason: reasonOf(content) };
}

function reasonOf(body: string): string | null {
  try {
    const { reason } = JSON.parse(body) as { reason?: unknown };
    return typeof reason === 'string' ? reason : null;
  } catch {
    return null; // An upstream's answer, not the gateway's.
  }
}

/** Scripts from texts, in threads of their own. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../src/core/clock.js';
import type { Result } from '../../src/core/result.js';
import type { RequestFacts, ScriptLimits } from '../../src/policy/hooks.js';
import { loadScript } from '../../src/script/load.js';
import { ScriptPool } from '../../src/script/pool.js';
import { type LoadedScript, SandboxScript } from '../../src/script/sandbox-script.js';
import { quickjsCode } from '../../src/script/thread.js';

/** Generous, because a test's machine may be busy; where time is the subject, a test says less. */
export const PATIENT: ScriptLimits = { timeoutMs: 5_000, memoryMb: 16 };

export class Scripts {
  readonly folder = mkdtempSync(join(tmpdir(), 'sallyport-scripts-'));
  readonly logs: string[] = [];
  readonly pool: ScriptPool;

  private constructor(pool: ScriptPool) {
    this.pool = pool;
  }

  static async open(threads?: number): Promise<Scripts> {
    return new Scripts(new ScriptPool(await quickjsCode(), threads));
  }

  file(name: string, text: string, mode = 0o600): string {
    const path = join(this.folder, name);
    writeFileSync(path, text, { mode });
    return path;
  }

  load(name: string, limits: ScriptLimits = PATIENT): Promise<Result<LoadedScript, string>> {
    return loadScript(join(this.folder, name), limits, this.pool);
  }

  /** One sandbox's script, of the text of one file. */
  async of(
    text: string,
    { limits = PATIENT, clock = systemClock }: { limits?: ScriptLimits; clock?: Clock } = {},
  ): Promise<SandboxScript> {
    this.file('policy.js', text);
    const script = await this.load('policy.js', limits);
    if (!script.ok) throw new Error(script.error);
    return this.sandbox(script.value, clock);
  }

  sandbox(script: LoadedScript, clock: Clock = systemClock, state?: string): SandboxScript {
    const onLog = (lines: readonly string[]): void => void this.logs.push(...lines);
    return new SandboxScript({
      script,
      pool: this.pool,
      clock,
      onLog,
      ...(state !== undefined && { state }),
    });
  }

  async close(): Promise<void> {
    await this.pool.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function requestOf(differs: Partial<RequestFacts> = {}): RequestFacts {
  return {
    method: 'GET',
    scheme: 'https',
    host: 'api.example.test',
    port: 443,
    path: '/',
    query: '',
    headers: [],
    bodyBytes: 0,
    body: null,
    ...differs,
  };
}

/**
 * The policy script of a gateway: which one is in force, the threads that run it, and one engine a sandbox. Without a
 * script there is not a thread.
 */
import type { Clock } from '../core/clock.js';
import { GatewayError } from '../core/errors.js';
import { createTokenBucket } from '../core/token-bucket.js';
import type { Emit } from '../events/event.js';
import type { SandboxId } from '../net/flow.js';
import type { ScriptSpec } from '../policy/policy.js';
import { loadScript } from '../script/load.js';
import { ScriptPool } from '../script/pool.js';
import { type LoadedScript, SandboxScript } from '../script/sandbox-script.js';
import { quickjsCode } from '../script/thread.js';

/** Lines of `log()` that one sandbox's script may put on record. */
const LOG_RATE = { perSecond: 20, burst: 100 } as const;

/** Told of what is no event. */
export interface Meter {
  scriptCall(hook: string, ms: number): void;
}

export class ScriptHost {
  readonly #meter: Meter | undefined;
  #pool: ScriptPool | null = null;
  #loaded: LoadedScript | null = null;

  private constructor(meter: Meter | undefined) {
    this.#meter = meter;
  }

  /** Throws `CONFIG_INVALID` with the place in the operator's file. */
  static async open(spec: ScriptSpec | null, meter?: Meter): Promise<ScriptHost> {
    const host = new ScriptHost(meter);
    try {
      host.use(await host.load(spec));
    } catch (error) {
      await host.close();
      throw error;
    }
    return host;
  }

  /** The script of `spec`, ready to be used; nothing changes yet. Throws `CONFIG_INVALID`. */
  async load(spec: ScriptSpec | null): Promise<LoadedScript | null> {
    if (spec === null) return null;
    this.#pool ??= new ScriptPool(await quickjsCode());
    const loaded = await loadScript(spec.path, spec, this.#pool);
    if (!loaded.ok) throw new GatewayError('CONFIG_INVALID', loaded.error);
    return loaded.value;
  }

  use(loaded: LoadedScript | null): void {
    this.#loaded = loaded;
  }

  /** The script for one sandbox. `before`: the one that it had, whose state goes on. */
  forSandbox(
    sandbox: SandboxId,
    before: SandboxScript | null,
    emit: Emit,
    clock: Clock,
  ): SandboxScript | null {
    const state = before === null ? {} : { state: before.state };
    before?.close();
    if (this.#loaded === null || this.#pool === null) return null;
    const onLog = createLog(sandbox, emit, clock);
    const meter = this.#meter;
    const onCall = meter && { onCall: (hook: string, ms: number) => meter.scriptCall(hook, ms) };
    return new SandboxScript({ script: this.#loaded, pool: this.#pool, clock, onLog, ...onCall, ...state });
  }

  async close(): Promise<void> {
    await this.#pool?.close();
    this.#pool = null;
  }
}

function createLog(sandbox: SandboxId, emit: Emit, clock: Clock): (lines: readonly string[]) => void {
  const bucket = createTokenBucket(LOG_RATE);
  let unsaid = 0;
  return lines => {
    if (!bucket.take(lines.length, clock.monotonic())) {
      unsaid += lines.length;
      return;
    }
    const missed = unsaid === 0 ? [] : [`and ${unsaid} more lines before it`];
    unsaid = 0;
    const [message = '', ...more] = lines;
    emit({ type: 'script.log', sandbox, gateway: { message, detail: [...more, ...missed] } });
  };
}

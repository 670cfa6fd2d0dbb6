/**
 * The script of one sandbox: asks its engine, keeps its state, and turns whatever goes wrong into a denial.
 *
 * An engine that failed badly is made again, with the state that the last whole call left, but not for ever: after so
 * many failures in a row of seconds the script is not asked until some time has passed.
 */
import type { Clock } from '../core/clock.js';
import type { Result } from '../core/result.js';
import type { Denial, Hook, HookName, PolicyScript, ScriptFault, ScriptLimits } from '../policy/hooks.js';
import {
  readMessageAnswer,
  readNotes,
  readPermission,
  readRequestAnswer,
  readResponseAnswer,
} from './answers.js';
import { connectInput, messageInput, requestInput, resolveInput, responseInput, tlsInput } from './input.js';
import type { ScriptPool } from './pool.js';
import type { CellId, Reply } from './protocol.js';
import type { Lost, ScriptThread } from './thread.js';

/** A script as it was loaded: the same for every sandbox. */
export interface LoadedScript {
  readonly path: string;
  readonly entry: string;
  readonly sources: ReadonlyMap<string, string>;
  readonly hooks: readonly HookName[];
  readonly limits: ScriptLimits;
}

export interface SandboxScriptOptions {
  readonly script: LoadedScript;
  readonly pool: ScriptPool;
  readonly clock: Clock;
  /** What the script logged in one call; never more than `LOG_LINES` and one. */
  readonly onLog: (lines: readonly string[]) => void;
  /** Told of every call that was made, with how long it took, its waiting included. */
  readonly onCall?: (hook: HookName, ms: number) => void;
  /** JSON; default: an empty object. */
  readonly state?: string;
}

/** Evaluating the files of the script, in milliseconds. */
export const OPEN_MS = 2_000;

/** So many failures that cost an engine within `RESPAWN_WINDOW_MS`, and the script is not asked until they are past. */
export const RESPAWNS = 5;
export const RESPAWN_WINDOW_MS = 10_000;

/** Calls of one sandbox that may wait at a time. */
const MAX_WAITING = 1_024;

/** A thread that another sandbox's script ended is no fault of this one: so often it tries the next. */
const MAX_MOVES = 4;

export class SandboxScript {
  readonly hooks: PolicyScript;
  readonly #options: SandboxScriptOptions;
  readonly #failures: number[] = [];
  #state: string;
  #home: { readonly thread: ScriptThread; readonly cell: CellId } | null = null;
  #lastFault: ScriptFault = 'script-error';
  #waiting = 0;
  #closed = false;

  constructor(options: SandboxScriptOptions) {
    this.#options = options;
    this.#state = options.state ?? '{}';
    const hook = <Facts, Answer>(
      name: HookName,
      input: (facts: Facts) => object,
      read: (text: string) => Result<Answer, string>,
    ): Hook<Facts, Answer | Denial> => {
      if (!options.script.hooks.includes(name)) return null;
      return facts => this.#ask(name, JSON.stringify(input(facts)), this.#options.clock.now(), read);
    };
    this.hooks = Object.freeze({
      onResolve: hook('onResolve', resolveInput, readPermission),
      onConnect: hook('onConnect', connectInput, readPermission),
      onTls: hook('onTls', tlsInput, readPermission),
      onRequest: hook('onRequest', requestInput, readRequestAnswer),
      onResponse: hook('onResponse', responseInput, readResponseAnswer),
      onMessage: hook('onMessage', messageInput, readMessageAnswer),
      onEvent: hook('onEvent', (event: object) => event, readNotes),
    });
  }

  /** JSON: what the script keeps, as the last whole call left it. */
  get state(): string {
    return this.#state;
  }

  /** Forgets the engine; whoever still waits is denied. */
  close(): void {
    this.#closed = true;
    this.#leave();
  }

  async #ask<Answer>(
    hook: HookName,
    input: string,
    now: number,
    read: (text: string) => Result<Answer, string>,
  ): Promise<Answer | Denial> {
    const refused = this.#mayNotAsk();
    if (refused !== null) return refused;
    this.#waiting += 1;
    const { clock, onCall } = this.#options;
    const started = clock.monotonic();
    try {
      const { reply, cell } = await this.#send(hook, input, now);
      if (reply.kind === 'answered') {
        if (reply.state !== '') this.#state = reply.state;
        if (reply.logs !== '') this.#tell(reply.logs);
        const answer = read(reply.answer);
        return answer.ok ? answer.value : denial('script-error', `${hook} ${answer.error}`);
      }
      return this.#failed(hook, reply, cell);
    } catch (error) {
      // A reply that cannot be read: nothing that a script does leads here, and nobody is to be let through for it.
      const what = error instanceof Error ? error.message : String(error);
      return denial('script-error', `${hook}: the script engine gave no answer that can be read (${what})`);
    } finally {
      this.#waiting -= 1;
      onCall?.(hook, clock.monotonic() - started);
    }
  }

  #mayNotAsk(): Denial | null {
    if (this.#closed) return denial('script-error', 'the script of this sandbox has ended');
    if (this.#waiting >= MAX_WAITING)
      return denial('script-timeout', 'too many calls of the script are waiting');
    const since = this.#options.clock.monotonic() - RESPAWN_WINDOW_MS;
    while ((this.#failures[0] ?? since) < since) this.#failures.shift();
    if (this.#failures.length < RESPAWNS) return null;
    const seconds = RESPAWN_WINDOW_MS / 1_000;
    return denial(
      this.#lastFault,
      `the script was ended ${RESPAWNS} times in ${seconds} s and is not asked for a while`,
    );
  }

  async #send(
    hook: HookName,
    input: string,
    now: number,
  ): Promise<{ readonly reply: Reply | Lost; readonly cell: CellId }> {
    for (let moves = 0; ; moves++) {
      const { thread, cell } = this.#settle();
      const reply = await thread.send(
        { kind: 'call', cell, hook, input, now },
        this.#options.script.limits.timeoutMs,
      );
      if (reply.kind !== 'lost') return { reply, cell };
      // Another sandbox's script ended the thread that this one lived in.
      const bystander = reply.culprit !== cell && reply.culprit !== null;
      if (!bystander || moves === MAX_MOVES || this.#closed) return { reply, cell };
    }
  }

  /** Where the engine is, or is about to be: messages to a thread are answered in order. */
  #settle(): { readonly thread: ScriptThread; readonly cell: CellId } {
    if (this.#home?.thread.alive) return this.#home;
    this.#leave();
    const { script, pool } = this.#options;
    const cell = pool.newCell();
    const thread = pool.take(cell);
    this.#home = { thread, cell };
    const { entry, sources, path } = script;
    const memoryMb = script.limits.memoryMb;
    const opening = thread.send(
      { kind: 'open', cell, memoryMb, entry, sources, path, state: this.#state },
      OPEN_MS,
    );
    // What went wrong is told to the calls behind it.
    void opening.then(reply => {
      if (reply.kind === 'refused') this.#abandon(cell, 'script-error');
    });
    return this.#home;
  }

  #leave(): void {
    const home = this.#home;
    this.#home = null;
    if (home === null) return;
    const { thread, cell } = home;
    if (thread.alive) void thread.send({ kind: 'close', cell }, OPEN_MS);
    this.#options.pool.leave(thread, cell);
  }

  /** The engine is gone: counted once, however many calls were waiting for it. */
  #abandon(cell: CellId, fault: ScriptFault): void {
    if (this.#home?.cell !== cell) return;
    this.#leave();
    this.#lastFault = fault;
    this.#failures.push(this.#options.clock.monotonic());
  }

  #failed(hook: HookName, reply: Exclude<Reply, { kind: 'answered' }> | Lost, cell: CellId): Denial {
    if (reply.kind === 'failed') {
      if (reply.state !== '') this.#state = reply.state;
      if (reply.logs !== '') this.#tell(reply.logs);
      if (!reply.broken) return denial(reply.fault, `${hook}: ${reply.message}`);
    }
    const known = reply.kind === 'failed' || reply.kind === 'lost' ? reply : UNKNOWN;
    this.#abandon(cell, known.fault);
    return denial(known.fault, `${hook}: ${known.message}`);
  }

  #tell(logs: string): void {
    const lines: unknown = JSON.parse(logs);
    if (Array.isArray(lines)) this.#options.onLog(lines.filter(line => typeof line === 'string'));
  }
}

const UNKNOWN = { fault: 'script-error', message: 'the script engine gave no answer' } as const;

function denial(code: ScriptFault, reason: string): Denial {
  return { kind: 'deny', code, reason };
}

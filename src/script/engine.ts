/**
 * One script in one QuickJS, in a WebAssembly instance of its own: whatever goes wrong inside stays inside.
 *
 * No I/O; what goes in and out is JSON text. Nothing here stops a script that runs on: QuickJS's own interrupts do not
 * reach a native loop, so the thread is ended from outside.
 */
import packaged from '@jitl/quickjs-wasmfile-release-sync';
import {
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSRuntime,
  type QuickJSSyncVariant,
} from 'quickjs-emscripten-core';
import { err, ok, type Result } from '../core/result.js';
import { HOOKS, type HookName, type ScriptFault } from '../policy/hooks.js';
import {
  type LoadProblem,
  type Modules,
  missingExport,
  PRELUDE_FILE,
  placeOf,
  positionOf,
} from './modules.js';
import { PRELUDE } from './prelude.js';

/** WebAssembly's pages have 64 KiB. */
const PAGES_PER_MIB = 16;

/** What the build begins with. Untouched, it weighs nothing. */
const INITIAL_MIB = 16;

/** Of the memory of the build, what is its own: the C stack, its data. */
const OWN_MIB = 5;

/** The package's types are those of its CommonJS build, whose default is one level down. */
const variant = ('default' in packaged ? packaged.default : packaged) as QuickJSSyncVariant;

/** Of the C stack that the WebAssembly build has, so that deep recursion is an error and not a trap. */
const STACK_BYTES = 262_144;

/** QuickJS with our own code in it and no script yet. */
export interface Blank {
  readonly memoryMb: number;
  readonly runtime: QuickJSRuntime;
  readonly context: QuickJSContext;
  readonly prelude: QuickJSHandle;
}

/**
 * Most of the time that a script takes to start: worth doing beforehand. The bound on memory is WebAssembly's own, which
 * nothing inside can pass: QuickJS's does not know here how large a block is, and counts eight bytes for each.
 */
export async function prepareBlank(wasm: WebAssembly.Module, memoryMb: number): Promise<Blank> {
  const maximum = Math.max(INITIAL_MIB, memoryMb + OWN_MIB) * PAGES_PER_MIB;
  const wasmMemory = new WebAssembly.Memory({ initial: INITIAL_MIB * PAGES_PER_MIB, maximum });
  const custom = newVariant(variant, { wasmModule: wasm, wasmMemory });
  const quickjs = await newQuickJSWASMModuleFromVariant(custom);
  const runtime = quickjs.newRuntime({ maxStackSizeBytes: STACK_BYTES });
  const context = runtime.newContext();
  const prelude = context.unwrapResult(context.evalCode(PRELUDE, PRELUDE_FILE, { strict: true }));
  return { memoryMb, runtime, context, prelude };
}

export interface EngineOptions {
  readonly entry: string;
  readonly modules: Modules;
  /** JSON. */
  readonly state: string;
  /** Evaluated before the script, as a script of its own: what a special kind of script is given besides. */
  readonly extra?: string;
}

/** How one call ended. `state` and `logs` are JSON, or empty: nothing new. */
export interface Ended {
  readonly state: string;
  readonly logs: string;
}

export interface Answered extends Ended {
  readonly ok: true;
  readonly answer: string;
}

export interface Failed extends Ended {
  readonly ok: false;
  readonly fault: ScriptFault;
  readonly message: string;
  /** Nothing may be asked of this engine any more. */
  readonly broken: boolean;
}

/** Loads and evaluates the script, in a `blank` that nobody else uses. Takes as long as the script does. */
export function createEngine(blank: Blank, options: EngineOptions): Result<Engine, LoadProblem> {
  const { runtime, context } = blank;
  const loading = new Loading(options);
  runtime.setModuleLoader(
    name => loading.load(name),
    (importer, specifier) => loading.resolve(importer, specifier),
  );
  const engine = new Engine(blank);
  if (options.extra !== undefined) {
    engine.extra = context.unwrapResult(context.evalCode(options.extra, PRELUDE_FILE, { strict: true }));
  }
  const problem = engine.load(options, loading);
  return problem === null ? ok(engine) : err(problem);
}

/** What the engine is told when it asks for a module, and the problem that it had, in the operator's terms. */
class Loading {
  problem: LoadProblem | null = null;
  readonly sources = new Map<string, string>();
  readonly #modules: Modules;
  /** Set once the script is loaded: nothing is loaded any more. */
  done = false;

  constructor({ modules }: EngineOptions) {
    this.#modules = modules;
  }

  resolve(importer: string, specifier: string): string | { error: Error } {
    const name = this.done
      ? err('nothing is loaded while a hook runs')
      : this.#modules.resolve(importer, specifier);
    if (name.ok) return name.value;
    const place = positionOf(this.sources.get(importer) ?? '', specifier);
    this.problem ??= { file: importer, ...place, message: name.error };
    return { error: new Error(name.error) };
  }

  load(name: string): string | { error: Error } {
    const source = this.#modules.load(name);
    if (source.ok) {
      this.sources.set(name, source.value);
      return source.value;
    }
    this.problem ??= source.error;
    return { error: new Error(source.error.message) };
  }
}

export class Engine {
  hooks: readonly HookName[] = [];
  /** A function that the code evaluated before the script left for us. */
  extra: QuickJSHandle | null = null;
  readonly #context: QuickJSContext;
  readonly #runtime: QuickJSRuntime;
  readonly #prelude: QuickJSHandle;
  readonly #call: QuickJSHandle;
  readonly #rest: QuickJSHandle;
  readonly #names: ReadonlyMap<string, QuickJSHandle>;

  constructor({ context, runtime, prelude }: Blank) {
    this.#context = context;
    this.#runtime = runtime;
    this.#prelude = prelude;
    this.#call = context.getProp(prelude, 'call');
    this.#rest = context.getProp(prelude, 'rest');
    this.#names = new Map(HOOKS.map(name => [name, context.newString(name)]));
  }

  /** Null: it is loaded. */
  load({ entry, modules, state }: EngineOptions, loading: Loading): LoadProblem | null {
    const source = modules.load(entry);
    if (!source.ok) return source.error;
    loading.sources.set(entry, source.value);
    const begun = this.#ask('begin', [state]);
    if (begun === null) return { file: entry, line: 0, column: 0, message: 'the state is not JSON' };
    const evaluated = this.#context.evalCode(source.value, entry, { type: 'module' });
    if (evaluated.error) return this.#problem(evaluated.error, entry, loading);
    const found = this.#adopt(evaluated.value);
    loading.done = true;
    if (!found.ok)
      return found.error === null ? pendingProblem(entry) : this.#problem(found.error, entry, loading);
    this.hooks = HOOKS.filter(name => found.value.split(',').includes(name));
    return null;
  }

  /** The hooks that the module exports; the error null: it is still waiting for something. */
  #adopt(exported: QuickJSHandle): Result<string, QuickJSHandle | null> {
    if (this.#runtime.hasPendingJob()) return err(null);
    const state = this.#context.getPromiseState(exported);
    if (state.type === 'pending') return err(null);
    if (state.type === 'rejected') return err(state.error);
    const known = this.#context.newString(HOOKS.join(','));
    const adopt = this.#context.getProp(this.#prelude, 'adopt');
    const result = this.#context.callFunction(adopt, this.#prelude, state.value, known);
    return result.error ? err(result.error) : ok(this.#context.getString(result.value));
  }

  /** What that function gives, as text. */
  askExtra(): string {
    const result = this.#context.unwrapResult(
      this.#context.callFunction(this.extra ?? this.#context.undefined, this.#context.undefined),
    );
    return this.#context.getString(result);
  }

  /** `input` is JSON; `now` in milliseconds since the Unix epoch. */
  call(hook: HookName, input: string, now: number): Answered | Failed {
    const context = this.#context;
    const name = this.#names.get(hook);
    if (name === undefined) throw new RangeError(`no such hook: ${hook}`);
    const given = context.newString(input);
    const time = context.newNumber(now);
    const result = context.callFunction(this.#call, context.undefined, name, given, time);
    given.dispose();
    time.dispose();
    if (result.error) return this.#failed(result.error);
    const text = context.getString(result.value);
    result.value.dispose();
    if (this.#runtime.hasPendingJob()) return { ...PENDING, ...NOTHING_NEW };
    const { answer, ...rest } = parted(text);
    return { ok: true, answer, ...rest };
  }

  #finish(): Ended | Failed {
    const result = this.#context.callFunction(this.#rest, this.#context.undefined);
    if (result.error) return { ...this.#failure(result.error), ...NOTHING_NEW };
    const { state, logs } = parted(this.#context.getString(result.value));
    result.value.dispose();
    return { state, logs };
  }

  /** What a script did to its state before it threw stays done. */
  #failed(error: QuickJSHandle): Failed {
    const failure = this.#failure(error);
    if (failure.broken) return { ...failure, ...NOTHING_NEW };
    const rest = this.#finish();
    return 'ok' in rest ? rest : { ...failure, ...rest };
  }

  #failure(error: QuickJSHandle): Omit<Failed, keyof Ended> {
    const told = this.#describe(error);
    const broken = told.memory || told.overflow || this.#runtime.hasPendingJob();
    const place = placeOf(told.stack);
    const where = place === null ? '' : ` (${place.file}:${place.line}:${place.column})`;
    const message = `${told.name === '' ? '' : `${told.name}: `}${told.message}${where}`;
    return { ok: false, fault: told.memory ? 'script-memory' : 'script-error', message, broken };
  }

  #problem(error: QuickJSHandle, entry: string, loading: Loading): LoadProblem {
    if (loading.problem !== null) return loading.problem;
    const told = this.#describe(error);
    const message = told.name === '' ? told.message : `${told.name}: ${told.message}`;
    const missing = missingExport(told.message, loading.sources);
    if (missing !== null) return { ...missing, message };
    const misnamed = /^'(\w+)' is exported/.exec(told.message)?.[1];
    if (misnamed !== undefined) {
      return {
        file: entry,
        ...positionOf(loading.sources.get(entry) ?? '', misnamed),
        message: told.message,
      };
    }
    return { ...(placeOf(told.stack) ?? { file: entry, line: 0, column: 0 }), message };
  }

  #describe(error: QuickJSHandle): Described {
    const text = this.#ask('describe', [error]);
    return text === null ? INDESCRIBABLE : (JSON.parse(text) as Described);
  }

  /** Null: it failed, which is told nowhere. */
  #ask(method: 'begin' | 'describe', given: readonly (string | QuickJSHandle)[]): string | null {
    const context = this.#context;
    const handles = given.map(value => (typeof value === 'string' ? context.newString(value) : value));
    const callee = context.getProp(this.#prelude, method);
    const result = context.callFunction(callee, context.undefined, ...handles);
    for (const handle of [callee, ...handles]) handle.dispose();
    if (result.error) {
      result.error.dispose();
      return null;
    }
    const text = context.getString(result.value);
    result.value.dispose();
    return text;
  }
}

/** Two lines and what follows: JSON text holds no raw line feed. */
function parted(text: string): Ended & { readonly answer: string } {
  const first = text.indexOf('\n');
  const second = text.indexOf('\n', first + 1);
  return { state: text.slice(0, first), logs: text.slice(first + 1, second), answer: text.slice(second + 1) };
}

interface Described {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  readonly memory: boolean;
  readonly overflow: boolean;
}

const NOTHING_NEW: Ended = { state: '', logs: '' };

/** Not even room enough to say what it was, or an error whose own text throws. */
const INDESCRIBABLE: Described = {
  name: '',
  message: 'what was thrown cannot be told',
  stack: '',
  memory: false,
  overflow: true,
};

const PENDING: Omit<Failed, keyof Ended> = {
  ok: false,
  fault: 'script-error',
  message: 'a promise is left waiting: hooks are synchronous, and nothing is loaded while they run',
  broken: true,
};

function pendingProblem(entry: string): LoadProblem {
  return {
    file: entry,
    line: 0,
    column: 0,
    message: 'waits for a promise while it is loaded: scripts are synchronous',
  };
}

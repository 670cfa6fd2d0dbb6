/**
 * The thread in which scripts run (shell: it is one). Does what it is told, one message after the other; if one takes
 * for ever, whoever told it ends the thread.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { SCRIPT_LIMITS } from '../policy/hooks.js';
import { type Blank, createEngine, type Engine, prepareBlank } from './engine.js';
import { EXAMPLES } from './examples-prelude.js';
import { scriptFiles } from './files.js';
import { modulesOf } from './modules.js';
import {
  type CallMessage,
  type CellId,
  type Message,
  type OpenMessage,
  type Reply,
  SHARED,
  type ThreadData,
} from './protocol.js';
import { ownTask } from './task-time.js';

const LINGER_MS = 0.1;

const { wasm, shared } = workerData as ThreadData;
const told = new Int32Array(shared);
const cells = new Map<CellId, Engine>();
/** Made while nobody waits. */
let spare: Blank | null = null;

/** What QuickJS asks for local time is the thread's own: make it UTC, so that no answer depends on where we run. */
function useUtc(): void {
  const { prototype } = Date;
  prototype.getTimezoneOffset = () => 0;
  for (const part of ['FullYear', 'Month', 'Date', 'Day', 'Hours', 'Minutes', 'Seconds'] as const) {
    prototype[`get${part}`] = prototype[`getUTC${part}`];
  }
}

async function open({ cell, memoryMb, entry, sources, path, state, examples }: OpenMessage): Promise<Reply> {
  const files = sources === undefined ? scriptFiles(path) : { entry, sources, ...modulesOf(sources) };
  const extra = examples === true ? { extra: EXAMPLES } : {};
  const blank = spare?.memoryMb === memoryMb ? spare : await prepareBlank(wasm, memoryMb);
  spare = null;
  const engine = createEngine(blank, { entry: files.entry, modules: files, state, ...extra });
  if (!engine.ok) return { kind: 'refused', problem: engine.error };
  cells.set(cell, engine.value);
  return { kind: 'opened', hooks: engine.value.hooks, sources: new Map(files.sources) };
}

function call({ cell, hook, input, now }: CallMessage): Reply {
  const engine = cells.get(cell);
  if (engine === undefined) return failed('it failed while this call was waiting', true);
  const ended = engine.call(hook, input, now);
  if (ended.ok) return { kind: 'answered', answer: ended.answer, state: ended.state, logs: ended.logs };
  if (ended.broken) cells.delete(cell);
  const { fault, message, broken, state, logs } = ended;
  return { kind: 'failed', fault, message, broken, state, logs };
}

function failed(message: string, broken: boolean): Reply & { kind: 'failed' } {
  return { kind: 'failed', fault: 'script-error', message, broken, state: '', logs: '' };
}

async function answer(message: Message): Promise<Reply> {
  try {
    switch (message.kind) {
      case 'open':
        return await open(message);
      case 'call':
        return call(message);
      case 'examples':
        return { kind: 'answered', answer: cells.get(message.cell)?.askExtra() ?? '[]', state: '', logs: '' };
      case 'close':
        cells.delete(message.cell);
        return { kind: 'closed' };
    }
  } catch (error) {
    // A trap of WebAssembly: the instance is in no state to be asked again, the thread is.
    cells.delete(message.cell);
    const what = `the script engine failed (${error instanceof Error ? error.message : String(error)})`;
    if (message.kind !== 'open') return failed(what, true);
    const problem = { file: message.entry, line: 0, column: 0, message: what };
    return { kind: 'refused', problem };
  }
}

useUtc();
Atomics.store(told, SHARED.task, ownTask());
/** What is asked meanwhile waits for it. */
let last: Promise<void> = prepareSpare();
let waiting = 0;
/** Messages so far, as the one who sends them counts. */
let taken = 0;

async function prepareSpare(): Promise<void> {
  try {
    spare = await prepareBlank(wasm, SCRIPT_LIMITS.memoryMb);
  } catch {
    // Whoever opens the first script tries again, and hears why it cannot be.
    spare = null;
  }
}

function reply(given: Reply): void {
  Atomics.add(told, SHARED.answered, 1);
  parentPort?.postMessage(given);
}

parentPort?.on('message', (message: Message) => {
  take(message);
  linger();
});

/**
 * Looks for the next message for a moment, before it goes to sleep: to be woken costs as much as a call, and calls come
 * in bursts.
 */
function linger(): void {
  let until = performance.now() + LINGER_MS;
  while (waiting === 0 && parentPort !== null && performance.now() < until) {
    if (Atomics.load(told, SHARED.asked) === taken) continue;
    const received = receiveMessageOnPort(parentPort);
    // Counted, and still on its way.
    if (received === undefined) continue;
    take(received.message as Message);
    until = performance.now() + LINGER_MS;
  }
}

function take(message: Message): void {
  taken = (taken + 1) | 0;
  // Only opening waits for anything; a call that finds nobody before it is answered at once.
  if (message.kind === 'call' && waiting === 0) {
    reply(callSafely(message));
    return;
  }
  waiting += 1;
  last = last.then(async () => {
    const given = await answer(message);
    waiting -= 1;
    reply(given);
  });
}

function callSafely(message: CallMessage): Reply {
  try {
    return call(message);
  } catch (error) {
    cells.delete(message.cell);
    return failed(
      `the script engine failed (${error instanceof Error ? error.message : String(error)})`,
      true,
    );
  }
}

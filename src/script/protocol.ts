/**
 * What a script's thread is told and what it answers: every message gets exactly one reply, in order. Plain data only,
 * because it is copied from one thread to the other.
 */
import type { HookName, ScriptFault } from '../policy/hooks.js';
import type { LoadProblem } from './modules.js';

/** One sandbox's engine in a thread; never used again once it is closed. */
export type CellId = number;

export interface OpenMessage {
  readonly kind: 'open';
  readonly cell: CellId;
  readonly memoryMb: number;
  readonly entry: string;
  /** Absent: the file at `path` is read, with what it imports, and the reply tells what was read. */
  readonly sources?: ReadonlyMap<string, string>;
  readonly path: string;
  /** JSON. */
  readonly state: string;
  /** It is a file of examples: it has `example`, and is asked for what it noted. */
  readonly examples?: boolean;
}

export interface CallMessage {
  readonly kind: 'call';
  readonly cell: CellId;
  readonly hook: HookName;
  /** JSON. */
  readonly input: string;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

export interface CloseMessage {
  readonly kind: 'close';
  readonly cell: CellId;
}

/** What a file of examples has noted; the answer is JSON. */
export interface ExamplesMessage {
  readonly kind: 'examples';
  readonly cell: CellId;
}

export type Message = OpenMessage | CallMessage | ExamplesMessage | CloseMessage;

export type Reply =
  | {
      readonly kind: 'opened';
      readonly hooks: readonly HookName[];
      readonly sources: ReadonlyMap<string, string>;
    }
  | { readonly kind: 'refused'; readonly problem: LoadProblem }
  /** `state` and `logs` are JSON, or empty: nothing new. */
  | { readonly kind: 'answered'; readonly answer: string; readonly state: string; readonly logs: string }
  | {
      readonly kind: 'failed';
      readonly fault: ScriptFault;
      readonly message: string;
      /** The engine is gone: the cell is to be opened again. */
      readonly broken: boolean;
      readonly state: string;
      readonly logs: string;
    }
  | { readonly kind: 'closed' };

export interface ThreadData {
  readonly wasm: WebAssembly.Module;
  /** 32-bit numbers, at the places of `SHARED`. */
  readonly shared: SharedArrayBuffer;
}

/** What a thread tells without a message. */
export const SHARED = {
  /** Messages that were answered, counted before the reply is sent. */
  answered: 0,
  /** The kernel's number of the thread; 0: not to be known. */
  task: 1,
  /** Messages that were sent, counted before they are. */
  asked: 2,
} as const;

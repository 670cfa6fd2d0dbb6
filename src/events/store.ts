/** A sink that keeps what it was given, and gives it back. Types only. */
import type { Emit, Event } from './event.js';
import type { Sink } from './feeder.js';

export interface StoreRead {
  /** The `id` of an event: what comes after it. `start`: everything that is kept. Or the store's `opening`. */
  readonly from: string;
  readonly signal?: AbortSignal;
}

/** A place between two events of the store. */
export interface Mark {
  /** What `read` goes on from. */
  readonly from: string;
  /** Events that the store ever took up to here; null: not known. */
  readonly count: number | null;
}

/** How far a reader with a name has come, kept over restarts. */
export interface Bookmark {
  /** Where the reader is done with all before it; null: it was never here. */
  load(): Promise<Mark | null>;
  save(mark: Mark): Promise<void>;
}

export interface EventStore extends Sink {
  /**
   * What is kept, then what is written, in order, until `signal` fires or the store is closed and read to its end.
   * However slow the reader is, nobody waits for it. Throws `CURSOR_UNKNOWN` where what would come next is not kept.
   */
  read(options: StoreRead): AsyncIterable<readonly Event[]>;
  /** Where what is written since the opening begins: good for `read`, also in later runs. */
  readonly opening: Mark;
  /** Events that it took and does not keep any more: the oldest. */
  readonly removed: number;
  bookmark(name: string): Bookmark;
  /** Takes what the store has to tell of itself, from its opening on. Called once. */
  tellTo(emit: Emit): void;
}

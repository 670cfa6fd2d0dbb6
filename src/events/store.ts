/** A sink that keeps what it was given, and gives it back. Types only. */
import type { Emit, Event } from './event.js';
import type { Sink } from './feeder.js';

export interface StoreRead {
  /** The `id` of an event: what comes after it. `start`: everything that is kept. Or the store's `opening`. */
  readonly from: string;
  readonly signal?: AbortSignal;
}

/** How far a reader with a name has come, kept over restarts. */
export interface Bookmark {
  /** What `read` goes on from: the `id` of the last event that the reader is done with; null: it was never here. */
  load(): Promise<string | null>;
  save(from: string): Promise<void>;
}

export interface EventStore extends Sink {
  /**
   * What is kept, then what is written, in order, until `signal` fires or the store is closed and read to its end.
   * However slow the reader is, nobody waits for it. Throws `CURSOR_UNKNOWN` where what would come next is not kept.
   */
  read(options: StoreRead): AsyncIterable<readonly Event[]>;
  /** Where what is written since the opening begins: good for `read`, also in later runs. */
  readonly opening: string;
  bookmark(name: string): Bookmark;
  /** Takes what the store has to tell of itself, from its opening on. Called once. */
  tellTo(emit: Emit): void;
}

/**
 * What all sandboxes of a gateway share, the event loop and the file descriptors, and how no one of them takes it from
 * the others (threats R2, R9). A shell: it waits for the event loop's next turn.
 */
import { maxDescriptors } from './descriptors.js';

export interface Shares {
  /** The share of one more sandbox. */
  join(): Share;
  /** More than one sandbox has had work of late. */
  crowded(): boolean;
}

/** One sandbox's part in the shares. */
export interface Share {
  /** Counts one more open flow; false: there is no room for it, and it must not be closed. */
  openFlow(): boolean;
  closeFlow(): void;
  /** Asked before a piece of work is begun. Null: now; else it resolves when the sandbox's turn has come. */
  turn(): Promise<void> | null;
}

/**
 * Pieces of work (a request, a handshake) that are begun in one turn of the event loop. What is beyond waits for the
 * next one, after whatever has arrived meanwhile; so nobody waits for more than a few milliseconds of somebody else's.
 * While several sandboxes have work, one of each: an answer takes some turns, each of which may be full of the others'.
 */
const MOST_STARTS = 8;
/** Turns with work in them for which another sandbox's last piece counts: a tenth of a second, of a busy gateway. */
const REMEMBERED_TURNS = 64;
/** A flow has one descriptor here and, most of the time, one upstream. */
const DESCRIPTORS_PER_FLOW = 2;
/** For logs, listeners and look-ups. */
const RESERVED_DESCRIPTORS = 256;
const LEAST_FLOWS = 64;

/** `descriptors`: how many files the process may have open. */
export function createShares(descriptors: number = maxDescriptors()): Shares {
  const capacity = Math.max(
    LEAST_FLOWS,
    Math.floor((descriptors - RESERVED_DESCRIPTORS) / DESCRIPTORS_PER_FLOW),
  );
  const turns = new Turns();
  let total = 0;
  return {
    join: () => {
      let own = 0;
      const share: Share = {
        openFlow: () => {
          // As many as are still free: one alone gets half, n greedy ones an equal part each, and a part is always left.
          if (own >= capacity - total) return false;
          own += 1;
          total += 1;
          return true;
        },
        closeFlow: () => {
          own -= 1;
          total -= 1;
        },
        turn: () => turns.enter(share),
      };
      return share;
    },
    crowded: () => turns.crowded,
  };
}

/** Sandboxes in the order in which they are served; each stands here once, with all that it waits for. */
class Turns {
  readonly #waiting = new Map<Share, (() => void)[]>();
  /** Of those that began something, in which turn they last did. */
  readonly #began = new WeakMap<Share, number>();
  #turn = 0;
  #started = 0;
  #isScheduled = false;
  #last: Share | null = null;
  /** Turns for which more than one sandbox has work. */
  #mixed = 0;

  enter(share: Share): Promise<void> | null {
    this.#schedule();
    if (this.#last !== share && this.#last !== null) this.#mixed = REMEMBERED_TURNS;
    this.#last = share;
    if (this.#mayStart(share)) {
      this.#begin(share);
      return null;
    }
    return new Promise(resolve => {
      const queue = this.#waiting.get(share);
      if (queue === undefined) this.#waiting.set(share, [resolve]);
      else queue.push(resolve);
    });
  }

  get crowded(): boolean {
    return this.#mixed > 0;
  }

  #mayStart(share: Share): boolean {
    if (this.#started >= MOST_STARTS) return false;
    if (this.#mixed === 0) return this.#waiting.size === 0;
    // Whoever asks for little does not stand in the line of those that ask for much.
    return !this.#hasBegun(share) && !this.#waiting.has(share);
  }

  #begin(share: Share): void {
    this.#started += 1;
    this.#began.set(share, this.#turn);
  }

  #hasBegun(share: Share): boolean {
    return this.#began.get(share) === this.#turn;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#next);
  }

  readonly #next = (): void => {
    this.#isScheduled = false;
    this.#started = 0;
    this.#turn += 1;
    if (this.#mixed > 0) this.#mixed -= 1;
    for (const [share, queue] of this.#waiting) {
      if (this.#started === MOST_STARTS || (this.#mixed > 0 && this.#hasBegun(share))) break;
      queue.shift()?.();
      this.#begin(share);
      this.#waiting.delete(share);
      // To the end of the line: the loop comes to it again only after all others.
      if (queue.length > 0) this.#waiting.set(share, queue);
    }
    if (this.#started > 0) this.#schedule();
  };
}

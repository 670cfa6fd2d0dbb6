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
  turn(work: Work): Promise<void> | null;
}

/** What a piece of work costs the event loop, in requests; a handshake more rather than less. */
const COST = { request: 1, handshake: 8 } as const;
export type Work = keyof typeof COST;

/**
 * Work that is begun in one turn of the event loop. What is beyond waits for the next one, after whatever has arrived
 * meanwhile; so nobody waits for more than a few milliseconds of somebody else's.
 * While several sandboxes have work, one piece of each: an answer takes some turns, each of which may be full of the others'.
 */
const TURN_COST = 64;
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
      const line = new Line();
      return {
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
        turn: work => turns.enter(line, work),
      };
    },
    crowded: () => turns.crowded,
  };
}

interface Waiting {
  readonly work: Work;
  readonly go: () => void;
}

/** One sandbox's place in the turns. */
class Line {
  /** What waits, in the order of coming. */
  readonly queue: Waiting[] = [];
  /** The turn in which it last began something. */
  began = -1;
}

/** Sandboxes in the order in which they are served; each stands here once, with all that it waits for. */
class Turns {
  /**
   * An array, not a map: one that is taken from and added to for every request makes a new table each time, and of
   * those that have become old each keeps all that came after it.
   */
  readonly #waiting: Line[] = [];
  #turn = 0;
  /** What was begun in this turn. */
  #cost = 0;
  #isScheduled = false;
  #last: Line | null = null;
  /** Turns for which more than one sandbox has work. */
  #mixed = 0;

  enter(line: Line, work: Work): Promise<void> | null {
    this.#schedule();
    if (this.#last !== line && this.#last !== null) this.#mixed = REMEMBERED_TURNS;
    this.#last = line;
    if (this.#mayStart(line)) {
      this.#begin(line, work);
      return null;
    }
    return new Promise(resolve => {
      if (line.queue.length === 0) this.#waiting.push(line);
      line.queue.push({ work, go: resolve });
    });
  }

  get crowded(): boolean {
    return this.#mixed > 0;
  }

  #mayStart(line: Line): boolean {
    if (this.#cost >= TURN_COST) return false;
    if (this.#mixed === 0) return this.#waiting.length === 0;
    // Whoever asks for little does not stand in the line of those that ask for much.
    return line.began !== this.#turn && line.queue.length === 0;
  }

  #begin(line: Line, work: Work): void {
    this.#cost += COST[work];
    line.began = this.#turn;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#next);
  }

  readonly #next = (): void => {
    this.#isScheduled = false;
    this.#cost = 0;
    this.#turn += 1;
    if (this.#mixed > 0) this.#mixed -= 1;
    while (this.#cost < TURN_COST) {
      const [line] = this.#waiting;
      if (line === undefined || (this.#mixed > 0 && line.began === this.#turn)) break;
      this.#waiting.shift();
      const next = line.queue.shift();
      if (next === undefined) continue;
      next.go();
      this.#begin(line, next.work);
      // To the end: its turn comes again only after all others.
      if (line.queue.length > 0) this.#waiting.push(line);
    }
    if (this.#cost > 0) this.#schedule();
  };
}

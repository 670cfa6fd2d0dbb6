/**
 * The one timer of a connection. Setting a deadline costs a subtraction: the timer is only moved when it is due too
 * late, and re-arms itself when it fires too early.
 */
import type { Clock } from '../../core/clock.js';

export class Deadline {
  readonly #clock: Clock;
  readonly #expire: () => void;
  /** Whole milliseconds of the monotonic clock, which take no room of their own; 0: no deadline. */
  #due = 0;
  /** The same; 0: the timer is not set. */
  #armedFor = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(clock: Clock, expire: () => void) {
    this.#clock = clock;
    this.#expire = expire;
  }

  /** Expires in `ms`, unless set or cleared before. */
  set(ms: number): void {
    this.#due = Math.max(1, Math.ceil(this.#clock.monotonic() + ms));
    if (this.#armedFor === 0 || this.#due < this.#armedFor) this.#arm(ms);
  }

  /** No deadline until the next `set`. */
  clear(): void {
    this.#due = 0;
  }

  /** As `clear`, and lets the timer go. */
  close(): void {
    this.clear();
    this.#disarm();
  }

  #arm(ms: number): void {
    this.#disarm();
    this.#armedFor = this.#due;
    this.#timer = setTimeout(() => this.#fired(), Math.max(1, Math.ceil(ms)));
    // The socket keeps the process alive, not its timer.
    this.#timer.unref();
  }

  #disarm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#armedFor = 0;
  }

  #fired(): void {
    this.#disarm();
    if (this.#due === 0) return;
    const left = this.#due - this.#clock.monotonic();
    if (left > 0) {
      this.#arm(left);
      return;
    }
    this.clear();
    this.#expire();
  }
}

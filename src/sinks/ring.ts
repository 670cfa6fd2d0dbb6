/**
 * The last events, for those who come later or fall behind: bounded by count and by bytes, the oldest go first.
 *
 * Pure. A reader holds a place and asks for what comes after it; so a reader that is slow costs nothing but its place.
 */
import type { Event } from '../events/event.js';
import { eventBytes } from '../events/queue.js';

export interface RingLimits {
  readonly events: number;
  /** Estimated. */
  readonly bytes: number;
}

export interface Held {
  readonly event: Event;
  /** The same line for all who want it. */
  readonly line: string;
}

export class EventRing {
  readonly #limits: RingLimits;
  readonly #encode: (event: Event) => string;
  #items: { readonly event: Event; readonly bytes: number; line: string | null }[] = [];
  /** Items before this index are gone; the array is cut when they are half of it. */
  #head = 0;
  #bytes = 0;
  /** The highest `seq` that was let go; 0: none. */
  lostUpTo = 0;

  constructor(limits: RingLimits, encode: (event: Event) => string) {
    this.#limits = limits;
    this.#encode = encode;
  }

  /** The `seq` of the oldest event that is held; null while there is none. */
  get firstSeq(): number | null {
    return this.#items[this.#head]?.event.seq ?? null;
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(event: Event): void {
    const bytes = eventBytes(event);
    this.#items.push({ event, bytes, line: null });
    this.#bytes += bytes;
    while (this.length > 1 && (this.length > this.#limits.events || this.#bytes > this.#limits.bytes))
      this.#drop();
  }

  /** The first event after `seq`, or null. */
  after(seq: number): Held | null {
    const item = this.#items[this.#indexAfter(seq)];
    if (item === undefined) return null;
    item.line ??= this.#encode(item.event);
    return { event: item.event, line: item.line };
  }

  #drop(): void {
    const oldest = this.#items[this.#head];
    this.#bytes -= oldest?.bytes ?? 0;
    this.lostUpTo = oldest?.event.seq ?? this.lostUpTo;
    this.#head += 1;
    if (this.#head > 64 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
  }

  /** By halving: `seq` grows, but a filter leaves gaps. */
  #indexAfter(seq: number): number {
    let low = this.#head;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#items[middle]?.event.seq ?? 0) > seq) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

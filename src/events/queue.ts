/**
 * What waits for one sink: bounded by count and by bytes, in order of `seq`. When it is full an event that allows
 * gives way to one that denies, and every loss is counted.
 *
 * Pure. Two lanes make "the oldest that allows" a question of constant time.
 */

import type { Event } from './event.js';
import { isWeighty } from './weight.js';

export interface QueueLimits {
  readonly events: number;
  /** Estimated, of the strings in the events. */
  readonly bytes: number;
}

/** What a sink never saw since the last `takeLoss`. */
export interface Loss {
  readonly allowed: number;
  readonly denied: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
}

interface Waiting {
  readonly event: Event;
  readonly bytes: number;
}

interface Lane {
  items: Waiting[];
  /** Items before this index are gone; the array is cut when they are half of it. */
  head: number;
}

export class EventQueue {
  readonly #limits: QueueLimits;
  readonly #weighty: Lane = { items: [], head: 0 };
  readonly #light: Lane = { items: [], head: 0 };
  #bytes = 0;
  #loss: Loss | null = null;
  #lost = 0;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  get length(): number {
    return laneLength(this.#weighty) + laneLength(this.#light);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Events lost since the beginning. */
  get lost(): number {
    return this.#lost;
  }

  /** Takes `event`, or loses one: the event itself, or older ones that weigh less. */
  push(event: Event): void {
    const waiting = { event, bytes: eventBytes(event) };
    const weighty = isWeighty(event);
    while (weighty && this.#isFull(waiting.bytes)) {
      const evicted = shift(this.#light);
      if (evicted === undefined) break;
      this.#bytes -= evicted.bytes;
      this.#lose(evicted.event);
    }
    if (this.#isFull(waiting.bytes)) {
      this.#lose(event);
      return;
    }
    (weighty ? this.#weighty : this.#light).items.push(waiting);
    this.#bytes += waiting.bytes;
  }

  /** Removes up to `most` events, oldest first. */
  take(most: number): readonly Event[] {
    // Mostly one: a list that grows holds places for sixteen.
    if (this.length === 1 && most > 0) return this.#takeOnly();
    const taken: Event[] = [];
    while (taken.length < most) {
      const lane = olderLane(this.#weighty, this.#light);
      const next = shift(lane);
      if (next === undefined) break;
      this.#bytes -= next.bytes;
      taken.push(next.event);
    }
    return taken;
  }

  #takeOnly(): readonly Event[] {
    const only = shift(this.#weighty) ?? shift(this.#light);
    if (only === undefined) return [];
    this.#bytes -= only.bytes;
    return [only.event];
  }

  /** Counts `events`, taken before, as lost after all. */
  lose(events: readonly Event[]): void {
    for (const event of events) this.#lose(event);
  }

  /** The losses since the last call, or null. */
  takeLoss(): Loss | null {
    const loss = this.#loss;
    this.#loss = null;
    return loss;
  }

  #isFull(bytes: number): boolean {
    return this.length >= this.#limits.events || this.#bytes + bytes > this.#limits.bytes;
  }

  #lose(event: Event): void {
    const { seq } = event;
    this.#lost += 1;
    const denied = isWeighty(event) ? 1 : 0;
    const before = this.#loss ?? { allowed: 0, denied: 0, firstSeq: seq, lastSeq: seq };
    this.#loss = {
      allowed: before.allowed + 1 - denied,
      denied: before.denied + denied,
      firstSeq: Math.min(before.firstSeq, seq),
      lastSeq: Math.max(before.lastSeq, seq),
    };
  }
}

/** About how much memory the strings of `event` hold; a constant stands for the rest. */
export function eventBytes({ network, exec, file, body, gateway }: Event): number {
  let bytes = 512;
  if (network)
    bytes +=
      2 *
      (network.url.length +
        network.host.length +
        network.method.length +
        (network.block_reason?.length ?? 0));
  if (file) bytes += 2 * file.path.length;
  if (body) bytes += 2 * body.text.length;
  for (const text of exec?.command ?? []) bytes += 2 * text.length;
  for (const text of gateway?.detail ?? []) bytes += 2 * text.length;
  return bytes + 2 * (gateway?.message.length ?? 0);
}

function laneLength(lane: Lane): number {
  return lane.items.length - lane.head;
}

function olderLane(a: Lane, b: Lane): Lane {
  const left = a.items[a.head];
  const right = b.items[b.head];
  if (left === undefined) return b;
  return right === undefined || left.event.seq < right.event.seq ? a : b;
}

function shift(lane: Lane): Waiting | undefined {
  const first = lane.items[lane.head];
  if (first === undefined) return undefined;
  lane.head += 1;
  if (lane.head > 64 && lane.head * 2 > lane.items.length) {
    lane.items = lane.items.slice(lane.head);
    lane.head = 0;
  }
  return first;
}

/**
 * Server-sent events out of a stream (WHATWG HTML §9.2.6): each with its bytes, so that what was not shown is not sent.
 *
 * Pure. Lines end with CR LF, LF or CR; an empty line ends an event.
 */
export interface SseEvent {
  /** The `data` lines, joined; null: the block has none (a comment, a change of the retry time). */
  readonly text: string | null;
  /** As received, the empty line included. */
  readonly raw: Buffer;
}

const CR = 0x0d;
const LF = 0x0a;

export class SseReader {
  #held: Buffer = Buffer.alloc(0);
  /** Bytes of `#held` that were looked at. */
  #seen = 0;
  #lineEmpty = true;
  #afterCr = false;

  /** Bytes that wait for the end of their event. */
  get held(): number {
    return this.#held.length;
  }

  /** The events that `bytes` made whole. */
  push(bytes: Uint8Array): SseEvent[] {
    this.#held = this.#held.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#held, bytes]);
    const events: SseEvent[] = [];
    let start = 0;
    for (let at = this.#seen; at < this.#held.length; at++) {
      const byte = this.#held[at];
      const pair = byte === LF && this.#afterCr;
      this.#afterCr = byte === CR;
      if (pair) {
        // The second half of a line end that was taken at its first: a reader may wait for it.
        if (at === start) events.push({ text: null, raw: this.#held.subarray(start, ++start) });
        continue;
      }
      if (byte !== LF && byte !== CR) {
        this.#lineEmpty = false;
        continue;
      }
      if (this.#lineEmpty && at > start) {
        events.push(eventOf(this.#held.subarray(start, at + 1)));
        start = at + 1;
      }
      this.#lineEmpty = true;
    }
    this.#held = this.#held.subarray(start);
    this.#seen = this.#held.length;
    return events;
  }

  /** What is left when the stream ends; null: nothing. */
  end(): SseEvent | null {
    return this.#held.length === 0 ? null : eventOf(this.#held);
  }
}

function eventOf(raw: Buffer): SseEvent {
  const data: string[] = [];
  for (const line of raw
    .toString('utf8')
    .replace(/^\ufeff/, '')
    .split(/\r\n|\n|\r/)) {
    if (line === 'data') data.push('');
    if (line.startsWith('data:')) data.push(line.slice(line.startsWith('data: ') ? 6 : 5));
  }
  return { text: data.length === 0 ? null : data.join('\n'), raw };
}

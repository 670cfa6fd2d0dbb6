/**
 * Where in a message something that is sought could stand at all: a needle is found in a run of bytes that needles and
 * their spellings are made of, and most bytes of most messages stand in no run that is long enough.
 *
 * Pure. Two neighbours in as many bytes as the shortest needle has are read; only where both belong to a run, it is
 * followed: of one byte of noise in four nobody can foretell it, and a processor that guesses wrong reads nothing ahead.
 */
import { ESCAPE_BYTES, LOOK_BEHIND } from './escapes.js';

/** Bytes from `from` up to `to`, which is exclusive. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

const NONE: readonly Span[] = Object.freeze([]);

/** Of a run that has room one byte in as many is read. */
const STRIDE = 8;

/** What stands beside a run decides how an escape in it reads: so many bytes before it and behind it. */
const BESIDE = LOOK_BEHIND;

export class Runs {
  /** 1 for a byte that a needle, or an escape in the spelling of one, may hold. */
  readonly #belongs = new Uint8Array(256);
  readonly #shortest: number;

  /** `holds` says of a byte as it is sent whether a needle has it. `shortest`: bytes of the shortest needle, two at least; 0: there is none. */
  constructor(holds: (byte: number) => boolean, shortest: number) {
    this.#shortest = shortest;
    for (let byte = 0; byte < 256; byte++) this.#belongs[byte] = holds(byte) ? 1 : 0;
    for (const byte of ESCAPE_BYTES) this.#belongs[byte] = 1;
  }

  /**
   * The runs in which a needle has room, with what stands beside them, in order and apart. Unless `whole`, also the run
   * that `bytes` ends in, however short: it may go on.
   */
  find(bytes: Uint8Array, whole: boolean): readonly Span[] {
    const { length } = bytes;
    const step = this.#shortest;
    if (step === 0) return NONE;
    const belongs = this.#belongs;
    const spans: Span[] = [];
    // Before `from` everything is decided, and a run that begins there or later and has room holds byte `at`; one that
    // begins before `at` holds the byte before it, too.
    let from = 0;
    let at = step - 1;
    while (at < length) {
      if (((belongs[bytes[at] as number] as number) & (belongs[bytes[at - 1] as number] as number)) === 0) {
        from = at;
        at += step - 1;
        continue;
      }
      let start = at - 1;
      while (start > from && belongs[bytes[start - 1] as number] === 1) start--;
      let end = at + 1;
      const room = Math.min(start + step, length);
      while (end < room && belongs[bytes[end] as number] === 1) end++;
      if (end - start >= step) {
        end = this.#follow(bytes, end);
        addSpan(spans, start, end, length);
      }
      from = end + 1;
      at = end + step;
    }
    if (!whole) this.#addLast(spans, bytes);
    return spans;
  }

  /** Where a run that has room ends, or a little behind: what is looked at in vain costs less than to read every byte. */
  #follow(bytes: Uint8Array, from: number): number {
    const belongs = this.#belongs;
    const { length } = bytes;
    let last = from + STRIDE - 1;
    while (last < length && belongs[bytes[last] as number] === 1) last += STRIDE;
    return Math.min(last, length);
  }

  #addLast(spans: Span[], bytes: Uint8Array): void {
    const { length } = bytes;
    const last = spans.at(-1)?.to ?? 0;
    let start = length;
    while (start > last && this.#belongs[bytes[start - 1] as number] === 1) start--;
    if (start < length) addSpan(spans, start, length, length);
  }
}

/** Adds a run with its neighbours; one that reaches into the last span becomes part of it. */
function addSpan(spans: Span[], start: number, end: number, length: number): void {
  const from = Math.max(0, start - BESIDE);
  const to = Math.min(length, end + BESIDE);
  const last = spans.at(-1);
  if (last === undefined || from > last.to) spans.push({ from, to });
  else spans[spans.length - 1] = { from: last.from, to };
}

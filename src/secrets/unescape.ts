/**
 * Bytes without their escapes, but only around the escapes: what stands far from any is as it is, and is looked at as
 * it is. Positions can be mapped back, so that what was found can be cut out.
 *
 * Pure.
 */
import {
  CUT_SHORT,
  codeOf,
  ESCAPE_STARTS,
  endsInLineBreak,
  escapeStart,
  lengthOf,
  NO_ESCAPE,
  NOTHING,
  readEscape,
} from './escapes.js';

/** The neighbourhoods of the escapes in some raw bytes, one behind the other. */
export interface Unescaped {
  /** A zero byte stands between two neighbourhoods: no needle holds one. */
  readonly bytes: Uint8Array;
  readonly windows: readonly Window[];
  /** Where an escape begins that the input's end cuts short; the input's length if none. */
  readonly rest: number;
  /** The last neighbourhood reaches up to `rest`. */
  readonly reachesRest: boolean;
}

/** One neighbourhood begins at `raw` in the raw bytes and at `out` in the unescaped ones. */
interface Window {
  readonly raw: number;
  readonly out: number;
}

/**
 * `reach`: how many bytes on both sides of an escape belong to its neighbourhood. Null: there is no escape.
 */
export function unescapeBytes(raw: Uint8Array, reach: number): Unescaped | null {
  const starts = new Starts(raw);
  const out = new Neighbourhoods(raw, reach);
  for (let at = starts.next(0); at < raw.length; ) {
    const spelled = readEscape(raw, at);
    if (spelled === CUT_SHORT) return out.finish(escapeStart(raw, at), true);
    if (spelled !== NO_ESCAPE) out.add(escapeStart(raw, at), at + lengthOf(spelled), codeOf(spelled));
    at = starts.next(at + (spelled === NO_ESCAPE ? 1 : lengthOf(spelled)));
  }
  return endsInLineBreak(raw) ? out.finish(raw.length - 1, true) : out.finish(raw.length, false);
}

/** Finds where escapes may begin, in order: one native search for each byte that begins one, kept until it is passed. */
class Starts {
  readonly #raw: Buffer;
  readonly #next = ESCAPE_STARTS.map(() => -1);

  constructor(raw: Uint8Array) {
    this.#raw = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  }

  next(from: number): number {
    const raw = this.#raw;
    const next = this.#next;
    let nearest = raw.length;
    for (let i = 0; i < next.length; i++) {
      let at = next[i] as number;
      if (at < from) {
        const found = raw.indexOf(ESCAPE_STARTS[i] as number, from);
        at = found < 0 ? raw.length : found;
        next[i] = at;
      }
      if (at < nearest) nearest = at;
    }
    return nearest;
  }
}

/** Up to so many bytes a loop is cheaper than a view and a native copy. */
const SHORT_COPY = 24;

class Neighbourhoods {
  readonly #raw: Uint8Array;
  readonly #reach: number;
  readonly #windows: Window[] = [];
  #out: Uint8Array | null = null;
  #length = 0;
  /** Raw bytes up to here are in `#out`, escapes undone. */
  #copied = 0;

  constructor(raw: Uint8Array, reach: number) {
    this.#raw = raw;
    this.#reach = reach;
  }

  add(start: number, end: number, code: number): void {
    this.#open(start);
    this.#copyTo(start);
    this.#put(code);
    this.#copied = end;
  }

  /** Makes the neighbourhood of `start` the current one. Two that touch are one. */
  #open(start: number): void {
    if (this.#out !== null && start - this.#copied <= 2 * this.#reach) return;
    if (this.#out === null) {
      // An escape is longer than what it stands for, which leaves room for the zero behind its neighbourhood.
      this.#out = new Uint8Array(this.#raw.length + 2);
    } else {
      this.#copyTo(this.#copied + this.#reach);
      this.#length += 1;
    }
    this.#copied = Math.max(0, start - this.#reach);
    this.#windows.push({ raw: this.#copied, out: this.#length });
  }

  finish(rest: number, isCutShort: boolean): Unescaped | null {
    if (isCutShort) this.#open(rest);
    if (this.#out === null) return null;
    const end = Math.min(rest, this.#copied + this.#reach);
    this.#copyTo(end);
    return {
      bytes: this.#out.subarray(0, this.#length),
      windows: this.#windows,
      rest,
      reachesRest: end === rest,
    };
  }

  #copyTo(end: number): void {
    const out = this.#out;
    if (out === null) return;
    const raw = this.#raw;
    const from = this.#copied;
    if (end <= from) return;
    let length = this.#length;
    if (end - from > SHORT_COPY) {
      out.set(raw.subarray(from, end), length);
      length += end - from;
    } else {
      for (let at = from; at < end; at++) out[length++] = raw[at] as number;
    }
    this.#length = length;
    this.#copied = end;
  }

  #put(code: number): void {
    const out = this.#out;
    if (out === null || code === NOTHING) return;
    // Percent and \x spell bytes, the others characters. Below 0x100 both are one byte here: a value that is not ASCII
    // is looked for in this form too (`needlesOf`).
    if (code < 0x100) {
      out[this.#length++] = code;
      return;
    }
    const bytes = Buffer.from(String.fromCodePoint(code), 'utf8');
    out.set(bytes, this.#length);
    this.#length += bytes.length;
  }
}

/**
 * Maps positions of unescaped bytes back to the raw bytes that spell them. Asking in rising order costs one walk
 * over the neighbourhoods for all.
 */
export class RawCursor {
  readonly #raw: Uint8Array;
  readonly #windows: readonly Window[];
  #window = 0;
  #at = 0;
  #length = 0;

  constructor(raw: Uint8Array, windows: readonly Window[]) {
    this.#raw = raw;
    this.#windows = windows;
    this.#enter(0);
  }

  #enter(window: number): void {
    this.#window = window;
    this.#at = this.#windows[window]?.raw ?? this.#raw.length;
    this.#length = this.#windows[window]?.out ?? 0;
  }

  /** Where the spelling of unescaped byte number `index` begins and ends. */
  span(index: number): { readonly start: number; readonly end: number } {
    if (index < this.#length) this.#enter(0);
    while ((this.#windows[this.#window + 1]?.out ?? Number.POSITIVE_INFINITY) <= index) {
      this.#enter(this.#window + 1);
    }
    const raw = this.#raw;
    while (this.#at < raw.length) {
      const { width, made } = this.#step();
      if (this.#length + made > index) return { start: this.#at, end: this.#at + width };
      this.#at += width;
      this.#length += made;
    }
    return { start: raw.length, end: raw.length };
  }

  /** What stands at the cursor: its length in raw bytes and in unescaped ones. */
  #step(): { readonly width: number; readonly made: number } {
    const raw = this.#raw;
    const at = this.#at;
    const isBreak = raw[at] === 0x0d && raw[at + 1] === 0x0a;
    const spelled = readEscape(raw, isBreak ? at + 1 : at);
    if (spelled === NO_ESCAPE || spelled === CUT_SHORT) return { width: 1, made: 1 };
    return { width: lengthOf(spelled) + (isBreak ? 1 : 0), made: utf8Length(codeOf(spelled)) };
  }
}

function utf8Length(code: number): number {
  if (code === NOTHING) return 0;
  if (code < 0x100) return 1;
  if (code < 0x800) return 2;
  return code < 0x10000 ? 3 : 4;
}

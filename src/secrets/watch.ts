/**
 * What a sandbox's traffic is watched for: placeholders and values with all their codings, compiled once for any
 * number of secrets.
 *
 * Pure.
 */
import { type Hit, type Look, look } from './look.js';
import { Matcher } from './matcher.js';
import { type Coding, needlesOf } from './needles.js';

/** `retired`: a value that was rotated out, or the placeholder of a secret that was taken away. */
export type SubjectKind = 'placeholder' | 'value' | 'retired';

export interface Subject {
  readonly secret: string;
  readonly kind: SubjectKind;
  readonly text: string;
}

interface Mark {
  readonly subject: Subject;
  readonly coding: Coding;
  readonly shift: number;
}

/** How something was spelled, for the event. */
export type Spelling = Coding | 'percent' | 'double-percent' | 'json' | 'html' | 'case' | 'compressed';

/** What begins an escape, or is more than one byte in some encoding. A reference is `&` and a semicolon. */
const UNPLAIN = /[%\\\r\n\x80-\uffff]/;

const NO_HITS: readonly Hit[] = Object.freeze([]);

export class Watch {
  readonly #marks: readonly Mark[];
  readonly #matcher: Matcher;

  constructor(subjects: readonly Subject[]) {
    const found = subjects.flatMap(subject =>
      needlesOf(subject.text).map(needle => ({ subject, ...needle })),
    );
    this.#marks = found.map(({ subject, coding, shift }) => ({ subject, coding, shift }));
    this.#matcher = new Matcher(found.map(({ bytes }) => bytes));
  }

  /** Nothing can be found. */
  get empty(): boolean {
    return this.#marks.length === 0;
  }

  /** No shorter text can hold anything; bytes are at least as many as characters. */
  get shortest(): number {
    return Math.ceil(this.#matcher.shortest / 3);
  }

  /**
   * False: nothing that is looked for stands in `text`, in whatever spelling. True: its bytes must be looked at. For
   * text that is nearly always clean, and has characters of one byte.
   */
  mayHold(text: string): boolean {
    if (this.empty || text.length < this.shortest) return false;
    if (UNPLAIN.test(text) || (text.includes('&') && text.includes(';'))) return true;
    return this.#matcher.mayStandIn(text);
  }

  /** Looks at a piece that more may follow. */
  look(bytes: Uint8Array, wanted: (subject: Subject) => boolean): Look {
    return look(this.#matcher, bytes, needle => this.#isWanted(needle, wanted), false);
  }

  /** Looks at all there is. */
  hits(bytes: Uint8Array, wanted: (subject: Subject) => boolean): readonly Hit[] {
    if (this.empty || bytes.length < this.shortest) return NO_HITS;
    return look(this.#matcher, bytes, needle => this.#isWanted(needle, wanted), true).hits;
  }

  #isWanted(needle: number, wanted: (subject: Subject) => boolean): boolean {
    const mark = this.#marks[needle];
    return mark !== undefined && wanted(mark.subject);
  }

  mark(hit: Hit): Mark {
    const mark = this.#marks[hit.needle];
    if (mark === undefined) throw new RangeError('a hit of another watch');
    return mark;
  }

  /** Names the spelling of `hit` in the bytes that were looked at. */
  spelling(hit: Hit, bytes: Uint8Array): Spelling {
    const { coding, subject } = this.mark(hit);
    if (coding !== 'plain') return coding;
    const raw = Buffer.from(bytes.subarray(hit.start, hit.end)).toString('latin1');
    if (hit.rounds > 0) return escapeOf(raw);
    return raw === Buffer.from(subject.text, 'utf8').toString('latin1') ? 'plain' : 'case';
  }
}

/** Finds nothing. */
export const NO_WATCH = new Watch([]);

function escapeOf(raw: string): Spelling {
  if (raw.includes('%25')) return 'double-percent';
  if (raw.includes('%')) return 'percent';
  return raw.includes('\\') ? 'json' : 'html';
}

/**
 * The way back: a value that an upstream echoes becomes its placeholder again, in whatever coding it stands.
 *
 * Pure. Everything else is byte-exact. Only flows that carried a secret are redacted: elsewhere, redaction would tell
 * a sandbox which of its guesses is right.
 */
import type { HeaderList } from '../core/headers.js';
import type { Hit } from './look.js';
import { BASE32, BASE64, HEX, innerCoding } from './needles.js';
import type { SandboxSecrets } from './store.js';
import type { Watch } from './watch.js';

const NOTHING = new Uint8Array(0);
const always = (): boolean => true;

/** Redacts content that arrives in pieces. What it gives back may be a view of what it was given. */
export class Redactor {
  readonly #watch: Watch;
  readonly #placeholderOf: (secret: string) => string;
  /** The last bytes, to be looked at again; the first `#sent` of them have gone on already. */
  #tail: Uint8Array = NOTHING;
  #sent = 0;

  constructor(watch: Watch, placeholderOf: (secret: string) => string) {
    this.#watch = watch;
    this.#placeholderOf = placeholderOf;
  }

  push(chunk: Uint8Array): Uint8Array {
    const bytes = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]);
    const { hits, hold, keep } = this.#watch.look(bytes, always);
    if (hits.length === 0) {
      const from = this.#sent;
      this.#keep(bytes, keep, Math.max(hold, from));
      return bytes.subarray(from, Math.max(hold, from));
    }
    return this.#replace(bytes, hits, Math.max(this.#sent, hold), keep);
  }

  /** The bytes that were held and turned out to be no value. */
  end(): Uint8Array {
    const rest = this.#tail.subarray(this.#sent);
    this.#keep(NOTHING, 0, 0);
    return rest;
  }

  #replace(bytes: Uint8Array, hits: readonly Hit[], hold: number, keep: number): Uint8Array {
    const pieces: Uint8Array[] = [];
    let at = this.#sent;
    let done = 0;
    for (const hit of [...hits].sort((a, b) => a.start - b.start || b.end - a.end)) {
      if (hit.start < done) continue;
      pieces.push(bytes.subarray(at, Math.max(at, hit.start)), this.#standIn(hit));
      at = done = hit.end;
    }
    const end = Math.max(at, hold);
    pieces.push(bytes.subarray(at, end));
    this.#keep(bytes, Math.max(keep, done), end);
    return Buffer.concat(pieces);
  }

  #keep(bytes: Uint8Array, keep: number, sentUpTo: number): void {
    this.#sent = Math.max(0, sentUpTo - keep);
    // A copy: the caller may reuse its buffer, and a small tail must not keep a large one alive.
    this.#tail = keep >= bytes.length ? NOTHING : Uint8Array.prototype.slice.call(bytes, keep);
  }

  /** The placeholder; inside a coding, as many digits of it as the value had, so that the rest still decodes. */
  #standIn(hit: Hit): Uint8Array {
    const { subject, coding, shift } = this.#watch.mark(hit);
    const placeholder = Buffer.from(this.#placeholderOf(subject.secret), 'latin1');
    const length = Buffer.byteLength(subject.text);
    const filled = Buffer.alloc(length, placeholder);
    switch (coding) {
      case 'plain':
        return placeholder;
      case 'reversed':
        return filled.reverse();
      case 'hex':
        return innerCoding(filled, HEX, shift);
      case 'base32':
        return innerCoding(filled, BASE32, shift);
      case 'base64':
        return innerCoding(filled, BASE64, shift);
      case 'double-base64':
        return innerCoding(innerCoding(filled, BASE64, 0), BASE64, shift).subarray(0, hit.end - hit.start);
    }
  }
}

/** For one answer; null: none of these secrets has anything to be looked for. */
export function redactorFor(secrets: SandboxSecrets, names: readonly string[]): Redactor | null {
  const watch = secrets.valuesOf(names);
  return watch.empty ? null : new Redactor(watch, name => secrets.placeholderOf(name));
}

/** Text that a person or a log will read: an error's message, an event's field. */
export function redactText(secrets: SandboxSecrets, names: readonly string[], text: string): string {
  const bytes = Buffer.from(text, 'utf8');
  const redacted = redactWhole(secrets, names, bytes);
  return redacted === bytes ? text : Buffer.from(redacted).toString('utf8');
}

/** One piece of wire text, one character a byte: a reason phrase, a field. */
export function redactWire(secrets: SandboxSecrets, names: readonly string[], text: string): string {
  const bytes = Buffer.from(text, 'latin1');
  const redacted = redactWhole(secrets, names, bytes);
  return redacted === bytes ? text : Buffer.from(redacted).toString('latin1');
}

/** Names and values of fields; the list itself where nothing stands in it. */
export function redactFields(
  secrets: SandboxSecrets,
  names: readonly string[],
  fields: HeaderList,
): HeaderList {
  let changed = false;
  const redacted = fields.map(field => {
    const name = redactWire(secrets, names, field[0]);
    const value = redactWire(secrets, names, field[1]);
    if (name === field[0] && value === field[1]) return field;
    changed = true;
    return [name, value] as const;
  });
  return changed ? redacted : fields;
}

/** A whole content at once; `bytes` itself where nothing stands in it. */
export function redactWhole(
  secrets: SandboxSecrets,
  names: readonly string[],
  bytes: Uint8Array,
): Uint8Array {
  const watch = secrets.valuesOf(names);
  if (watch.empty || watch.hits(bytes, always).length === 0) return bytes;
  const redactor = new Redactor(watch, name => secrets.placeholderOf(name));
  return Buffer.concat([redactor.push(bytes), redactor.end()]);
}

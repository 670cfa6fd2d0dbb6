/**
 * The way back: a value that an upstream echoes becomes its placeholder again, in whatever coding it stands.
 *
 * Pure. Everything else is byte-exact. Only flows that carried a secret are redacted: elsewhere, redaction would tell
 * a sandbox which of its guesses is right.
 */
import type { HeaderList } from '../core/headers.js';
import { Carry } from './carry.js';
import type { Hit, Look } from './look.js';
import { BASE32, BASE64, HEX, innerCoding } from './needles.js';
import type { SandboxSecrets } from './store.js';
import type { Watch } from './watch.js';

const always = (): boolean => true;

/** Redacts content that arrives in pieces. What it gives back may be a view of what it was given. */
export class Redactor {
  readonly #watch: Watch;
  readonly #placeholderOf: (secret: string) => string;
  readonly #carry = new Carry();

  constructor(watch: Watch, placeholderOf: (secret: string) => string) {
    this.#watch = watch;
    this.#placeholderOf = placeholderOf;
  }

  push(chunk: Uint8Array): Uint8Array {
    const bytes = this.#carry.join(chunk);
    const seen = this.#watch.look(bytes, always);
    const { sent } = this.#carry;
    // What has gone on already was looked at then.
    const hits = seen.hits.filter(({ end }) => end > sent);
    if (hits.length > 0) return this.#replace(hits, seen);
    const forward = this.#carry.part(sent, seen.hold);
    this.#carry.settle(seen.keep, Math.max(sent, seen.hold));
    return forward;
  }

  /** The bytes that were held and turned out to be no value. */
  end(): Uint8Array {
    return this.#carry.end();
  }

  #replace(hits: readonly Hit[], { hold, keep }: Look): Uint8Array {
    const pieces: Uint8Array[] = [];
    let at = this.#carry.sent;
    let done = 0;
    for (const hit of [...hits].sort((a, b) => a.start - b.start || b.end - a.end)) {
      if (hit.start < done) continue;
      pieces.push(this.#carry.part(at, hit.start), this.#standIn(hit));
      at = done = hit.end;
    }
    const end = Math.max(at, hold);
    pieces.push(this.#carry.part(at, end));
    const out = Buffer.concat(pieces);
    this.#carry.settle(Math.max(keep, done), end);
    return out;
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

/** Text that a person or a log will read, without any value of the sandbox. */
export function redactAll(secrets: SandboxSecrets, text: string): string {
  return redactIn(secrets, secrets.allValues, text, 'utf8');
}

/** The same for some secrets only. */
export function redactText(secrets: SandboxSecrets, names: readonly string[], text: string): string {
  return redactIn(secrets, secrets.valuesOf(names), text, 'utf8');
}

/** One piece of wire text, one character a byte: a reason phrase, a field. */
export function redactWire(secrets: SandboxSecrets, names: readonly string[], text: string): string {
  return redactIn(secrets, secrets.valuesOf(names), text, 'latin1');
}

function redactIn(secrets: SandboxSecrets, watch: Watch, text: string, encoding: 'utf8' | 'latin1'): string {
  if (!watch.mayHold(text)) return text;
  const bytes = Buffer.from(text, encoding);
  const redacted = redactBytes(secrets, watch, bytes);
  return redacted === bytes ? text : Buffer.from(redacted).toString(encoding);
}

/** Names and values of fields; the list itself where nothing stands in it. */
export function redactFields(
  secrets: SandboxSecrets,
  names: readonly string[],
  fields: HeaderList,
): HeaderList {
  if (fields.length === 0) return fields;
  const watch = secrets.valuesOf(names);
  if (!fields.some(([name, value]) => watch.mayHold(value) || watch.mayHold(name))) return fields;
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
  return redactBytes(secrets, secrets.valuesOf(names), bytes);
}

function redactBytes(secrets: SandboxSecrets, watch: Watch, bytes: Uint8Array): Uint8Array {
  if (watch.empty || watch.hits(bytes, always).length === 0) return bytes;
  const redactor = new Redactor(watch, name => secrets.placeholderOf(name));
  return Buffer.concat([redactor.push(bytes), redactor.end()]);
}

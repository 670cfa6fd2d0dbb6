/**
 * Placeholder → value in content that arrives in pieces, for secrets that may stand there.
 *
 * Pure. A value is written as the content's type needs it: escaped in JSON, percent-encoded in a form, as it is
 * elsewhere. The content's length changes, so whoever sends it frames it anew.
 */
import { JsonPath } from './json-path.js';
import type { Place } from './place.js';
import { isPlaceholder, PLACEHOLDER_LENGTH, PLACEHOLDER_PREFIX } from './placeholder.js';
import type { Leak, LeakReason, ScanStep, Scope } from './scan.js';
import { reveal } from './secret.js';
import type { Entry, SandboxSecrets } from './store.js';

export type ContentKind = 'json' | 'form' | 'other';

/** What a Content-Type says about how a value must be written (RFC 6839 §3.1 for `+json`). */
export function contentKind(contentType: string | null): ContentKind {
  const type = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (type === 'application/x-www-form-urlencoded') return 'form';
  return type.endsWith('/json') || type.endsWith('+json') ? 'json' : 'other';
}

const PREFIX = Buffer.from(PLACEHOLDER_PREFIX, 'latin1');
const NOTHING = new Uint8Array(0);

export class BodyFiller {
  readonly #secrets: SandboxSecrets;
  readonly #scope: Scope;
  readonly #kind: ContentKind;
  readonly #used: Map<string, number>;
  readonly #path = new JsonPath();
  readonly #form = new FormField();
  /** The last bytes, if they may begin a placeholder. */
  #tail: Uint8Array = NOTHING;

  /** `used` is how often the head held each secret: `max_occurrences` counts both. */
  constructor(secrets: SandboxSecrets, scope: Scope, kind: ContentKind, used: ReadonlyMap<string, number>) {
    this.#secrets = secrets;
    this.#scope = scope;
    this.#kind = kind;
    this.#used = new Map(used);
  }

  /** The names of the secrets that the request holds so far. */
  get used(): readonly string[] {
    return [...this.#used.keys()];
  }

  push(chunk: Uint8Array): ScanStep {
    const bytes = this.#tail.length === 0 ? asBuffer(chunk) : Buffer.concat([this.#tail, chunk]);
    const pieces: Uint8Array[] = [];
    let from = 0;
    for (let at = bytes.indexOf(PREFIX); at >= 0; at = bytes.indexOf(PREFIX, at + 1)) {
      const placeholder = bytes.toString('latin1', at, at + PLACEHOLDER_LENGTH);
      if (placeholder.length < PLACEHOLDER_LENGTH) break;
      if (!isPlaceholder(placeholder)) continue;
      this.#track(bytes.subarray(from, at));
      const written = this.#written(placeholder);
      if (typeof written === 'object' && written !== null) return { forward: NOTHING, leak: written };
      this.#track(bytes.subarray(at, at + PLACEHOLDER_LENGTH));
      pieces.push(bytes.subarray(from, at), Buffer.from(written ?? placeholder, 'utf8'));
      from = at + PLACEHOLDER_LENGTH;
    }
    const end = Math.max(from, unfinishedFrom(bytes));
    this.#track(bytes.subarray(from, end));
    this.#tail = Uint8Array.prototype.slice.call(bytes, end);
    const last = bytes.subarray(from, end);
    return { forward: pieces.length === 0 ? last : Buffer.concat([...pieces, last]), leak: null };
  }

  /** The bytes that were held and turned out to be no placeholder. */
  end(): Uint8Array {
    const rest = this.#tail;
    this.#tail = NOTHING;
    return rest;
  }

  #track(bytes: Uint8Array): void {
    if (this.#kind === 'json') this.#path.feed(bytes);
    if (this.#kind === 'form') this.#form.feed(bytes);
  }

  /** What to write for a placeholder: a text, null for the placeholder itself, or a leak. */
  #written(placeholder: string): string | Leak | null {
    const entry = this.#secrets.byPlaceholder.get(placeholder);
    // Out of scope was a leak already: what is not known here is nobody's.
    if (entry === undefined || !this.#scope.allowed.has(entry.name)) return null;
    if (!entry.places.some(place => this.#isHere(place))) {
      return entry.pinned ? leakOf(entry.name, 'forbidden-place') : null;
    }
    const count = (this.#used.get(entry.name) ?? 0) + 1;
    if (entry.maxOccurrences !== null && count > entry.maxOccurrences) return leakOf(entry.name, 'too-many');
    this.#used.set(entry.name, count);
    return this.#spell(entry);
  }

  #isHere(place: Place): boolean {
    if (place.kind === 'body') return true;
    if (place.kind === 'form') return this.#kind === 'form' && this.#form.name() === place.field;
    if (place.kind !== 'json' || this.#kind !== 'json') return false;
    const here = this.#path.here();
    return (
      here !== null && here.length === place.keys.length && here.every((key, i) => key === place.keys[i])
    );
  }

  #spell({ secret }: Entry): string {
    const value = reveal(secret);
    if (this.#kind === 'json') return JSON.stringify(value).slice(1, -1);
    return this.#kind === 'form' ? encodeURIComponent(value) : value;
  }
}

/** The name of the form field that the next byte belongs to, as written. */
class FormField {
  #name = '';
  #inValue = false;

  name(): string | null {
    return this.#inValue ? this.#name : null;
  }

  feed(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (byte === 0x26) {
        this.#name = '';
        this.#inValue = false;
      } else if (!this.#inValue && byte === 0x3d) {
        this.#inValue = true;
      } else if (!this.#inValue && this.#name.length < 256) {
        this.#name += String.fromCharCode(byte);
      }
    }
  }
}

function leakOf(secret: string, reason: LeakReason): Leak {
  return { secret, place: 'body', encoding: 'plain', reason };
}

/** Where the last bytes may begin a placeholder that is not whole yet. */
function unfinishedFrom(bytes: Buffer): number {
  const whole = bytes.lastIndexOf(PREFIX);
  if (whole >= 0 && /^[0-9a-f]*$/.test(bytes.toString('latin1', whole + PREFIX.length))) {
    if (bytes.length - whole < PLACEHOLDER_LENGTH) return whole;
  }
  for (let length = Math.min(PREFIX.length - 1, bytes.length); length > 0; length--) {
    if (bytes.subarray(bytes.length - length).equals(PREFIX.subarray(0, length)))
      return bytes.length - length;
  }
  return bytes.length;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

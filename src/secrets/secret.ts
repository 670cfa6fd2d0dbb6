/**
 * A value that must not be seen. It renders as its name everywhere (string, JSON, inspection, coercion); only this
 * folder reads it, through `reveal`.
 *
 * Pure. A JavaScript string cannot be zeroised and stands in a heap snapshot: SECURITY.md says so.
 */
import { inspect } from 'node:util';
import { err, ok, type Result } from '../core/result.js';

/** Longest value, in bytes of UTF-8: what a header field may hold without breaking common servers' limits. */
export const MAX_VALUE_BYTES = 65_536;

let read: (secret: Secret) => string;
let readWire: (secret: Secret) => string;

export class Secret {
  readonly name: string;
  readonly #value: string;
  /** The bytes of the value's UTF-8, one character a byte. */
  readonly #wire: string;

  static {
    read = secret => secret.#value;
    readWire = secret => secret.#wire;
  }

  /** Unchecked: use `parseSecret`. */
  constructor(name: string, value: string) {
    this.name = name;
    this.#value = value;
    this.#wire = Buffer.from(value, 'utf8').toString('latin1');
    Object.freeze(this);
  }

  toString(): string {
    return `<secret ${this.name}>`;
  }

  toJSON(): string {
    return this.toString();
  }

  valueOf(): string {
    return this.toString();
  }

  [Symbol.toPrimitive](): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/** The value. For `src/secrets` alone: the architecture test keeps it so. */
export function reveal(secret: Secret): string {
  return read(secret);
}

/** The value as the bytes that go on the wire, one character a byte: what a header field is made of. */
export function revealWire(secret: Secret): string {
  return readWire(secret);
}

export type SecretFault = 'bad-name' | 'empty' | 'control-character' | 'lone-surrogate' | 'too-long';

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
// HTAB is the one control character that a field value may hold (RFC 9110 §5.5).
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** A secret's name is the name of the variable that the sandbox sees. */
export function isSecretName(text: string): boolean {
  return NAME.test(text);
}

/** Refuses whatever could end a header field, a line or a string: no value is ever repaired. */
export function parseSecret(name: string, value: string): Result<Secret, SecretFault> {
  if (!isSecretName(name)) return err('bad-name');
  if (value.length === 0) return err('empty');
  if (CONTROL.test(value)) return err('control-character');
  if (LONE_SURROGATE.test(value)) return err('lone-surrogate');
  if (Buffer.byteLength(value) > MAX_VALUE_BYTES) return err('too-long');
  return ok(new Secret(name, value));
}

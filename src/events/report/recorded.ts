/**
 * What a recorded event says about the rules: the few facts that `replay` and `suggest` ask a policy about again.
 *
 * Pure. Logs are long, so a line as the encoder writes it is read by its own shape, without the objects that JSON.parse
 * makes; every other line is left to the caller.
 */
import type { Event, EventType } from '../event.js';

export interface Recorded {
  readonly type: EventType;
  readonly layer: string;
  readonly denied: boolean;
  readonly method: string;
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly reason: string | null;
  readonly rule: string | null;
  readonly destination: string | null;
  readonly protocol: string;
  readonly secrets: readonly string[];
}

/** Null: the event tells nothing that a rule decides. */
export function recordedOf({ type, network }: Event): Recorded | null {
  if (network === undefined) return null;
  const { layer, decision, method, url, host, port, reason, rule, destination, protocol, secrets } = network;
  return {
    type,
    layer,
    denied: decision === 'deny',
    method,
    url,
    host,
    port,
    reason,
    rule,
    destination,
    protocol,
    secrets,
  };
}

const HEAD = '{"version":1,"id":"';

/**
 * The facts of a line that `encodeEvent` wrote; null: none, as of a command that ended; undefined: not such a line.
 *
 * A key cannot be mistaken: a quote inside a string is always escaped, so that `"url":"` stands nowhere but before the
 * url. The keys are looked for in the encoder's order, each behind the one before.
 */
export function recordedInLine(line: string): Recorded | null | undefined {
  if (!line.startsWith(HEAD) || !line.endsWith('}')) return undefined;
  const cursor = new Cursor(line);
  const type = cursor.text('"type":"') as EventType | undefined;
  if (type === undefined) return undefined;
  if (!cursor.skip('"network":{"layer":"')) return cursor.isWhole() ? null : undefined;
  const layer = cursor.rest();
  const decision = cursor.text('"decision":"');
  const method = cursor.text('"method":"');
  const url = cursor.text('"url":"');
  const host = cursor.text('"host":"');
  const port = cursor.number('"port":');
  const reason = cursor.nullable('"reason":');
  const rule = cursor.nullable('"rule":');
  const destination = cursor.nullable('"destination":');
  const protocol = cursor.text('"protocol":"');
  const secrets = cursor.list('"secrets":[');
  if (cursor.failed || layer === undefined || decision === undefined || method === undefined)
    return undefined;
  if (url === undefined || host === undefined || port === undefined || protocol === undefined)
    return undefined;
  if (reason === undefined || rule === undefined || destination === undefined) return undefined;
  if (secrets === undefined || !cursor.ends(TAIL)) return undefined;
  return {
    type,
    layer,
    denied: decision === 'deny',
    method,
    url,
    host,
    port,
    reason,
    rule,
    destination,
    protocol,
    secrets,
  };
}

/** What stands behind the secrets of nearly every line; of the others, the whole line is read. */
const TAIL = /,"generation":\d+(?:,"timings":\{[^{}]*\})?(?:,"would_deny":"[a-z-]*")?\}\}$/y;

const NONE: readonly string[] = Object.freeze([]);

class Cursor {
  failed = false;
  readonly #line: string;
  #at = 0;

  constructor(line: string) {
    this.#line = line;
  }

  /** Moves behind `key`. */
  skip(key: string): boolean {
    const found = this.#line.indexOf(key, this.#at);
    if (found < 0) return false;
    this.#at = found + key.length;
    return true;
  }

  /** The string behind `key`, which ends in its opening quote. */
  text(key: string): string | undefined {
    return this.#find(key) ? this.rest() : undefined;
  }

  /** The string whose opening quote was just passed. */
  rest(): string | undefined {
    const start = this.#at;
    let end = this.#line.indexOf('"', start);
    while (end > 0 && isEscaped(this.#line, end)) end = this.#line.indexOf('"', end + 1);
    if (end < 0) return this.#fail();
    this.#at = end + 1;
    const text = this.#line.slice(start, end);
    return text.includes('\\') ? (unescaped(text) ?? this.#fail()) : text;
  }

  /** A string or null. */
  nullable(key: string): string | null | undefined {
    if (!this.#find(key)) return undefined;
    if (this.#line.startsWith('null', this.#at)) return null;
    if (this.#line.charCodeAt(this.#at) !== QUOTE) return this.#fail();
    this.#at += 1;
    return this.rest();
  }

  number(key: string): number | undefined {
    if (!this.#find(key)) return undefined;
    const end = this.#line.indexOf(',', this.#at);
    const value = Number(this.#line.slice(this.#at, end));
    return Number.isInteger(value) ? value : this.#fail();
  }

  /** The list of strings behind `key`, which ends in its bracket. */
  list(key: string): readonly string[] | undefined {
    if (!this.#find(key)) return undefined;
    if (this.#line.charCodeAt(this.#at) === CLOSING) {
      this.#at += 1;
      return NONE;
    }
    const items: string[] = [];
    do {
      this.#at += 1;
      const item = this.rest();
      if (item === undefined) return undefined;
      items.push(item);
      this.#at += 1;
    } while (this.#line.charCodeAt(this.#at - 1) === COMMA);
    return items;
  }

  /** What is left of the line is as `pattern` (sticky) says. */
  ends(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    return pattern.test(this.#line);
  }

  /** The line is one JSON value. */
  isWhole(): boolean {
    try {
      JSON.parse(this.#line);
      return true;
    } catch {
      // The caller reads it again, and says what is wrong.
      return false;
    }
  }

  #find(key: string): boolean {
    if (this.skip(key)) return true;
    this.failed = true;
    return false;
  }

  #fail(): undefined {
    this.failed = true;
    return undefined;
  }
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const CLOSING = 0x5d;
const BACKSLASH = 0x5c;

/** An odd number of backslashes stands before it. */
function isEscaped(line: string, at: number): boolean {
  let backslashes = 0;
  while (line.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes += 1;
  return backslashes % 2 === 1;
}

function unescaped(text: string): string | undefined {
  try {
    return JSON.parse(`"${text}"`) as string;
  } catch {
    // No string: the line was not written by the encoder.
    return undefined;
  }
}

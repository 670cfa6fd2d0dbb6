/**
 * Where in a JSON text a position stands (RFC 8259): the keys that lead to the string around it.
 *
 * Pure and incremental: `feed` the bytes in order, ask `here` between. It follows the structure and checks no more of
 * the grammar than that needs; a text that is not JSON has no paths.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Longest key and deepest nesting that a path is followed into. */
const MAX_KEY = 256;
const MAX_DEPTH = 64;

/** The key of an element of an array: no path names one. */
const ELEMENT = '[]';

interface Level {
  readonly kind: 'object' | 'array';
  key: string;
  /** The next string of an object is a key. */
  expectsKey: boolean;
}

export class JsonPath {
  readonly #levels: Level[] = [];
  #inString = false;
  #escaped = false;
  #isKey = false;
  #key = '';
  #broken = false;

  /** The keys that lead to the string value which the next byte belongs to; null: it belongs to none. */
  here(): readonly string[] | null {
    if (this.#broken || !this.#inString || this.#isKey) return null;
    return this.#levels.map(({ key }) => key);
  }

  feed(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (this.#broken) return;
      if (this.#inString) this.#character(byte);
      else this.#structure(byte);
    }
  }

  #character(byte: number): void {
    if (this.#escaped) {
      this.#escaped = false;
      this.#extendKey(`\\${String.fromCharCode(byte)}`);
    } else if (byte === BACKSLASH) {
      this.#escaped = true;
    } else if (byte === QUOTE) {
      this.#inString = false;
      const level = this.#levels.at(-1);
      if (this.#isKey && level !== undefined) level.key = this.#key;
    } else {
      this.#extendKey(String.fromCharCode(byte));
    }
  }

  /** A key with an escape is kept as written: no path is spelled with one. */
  #extendKey(text: string): void {
    if (this.#isKey && this.#key.length < MAX_KEY) this.#key += text;
  }

  #structure(byte: number): void {
    const level = this.#levels.at(-1);
    switch (String.fromCharCode(byte)) {
      case '"':
        this.#inString = true;
        this.#isKey = level?.expectsKey === true;
        this.#key = '';
        break;
      case ':':
        if (level !== undefined) level.expectsKey = false;
        break;
      case ',':
        if (level?.kind === 'object') level.expectsKey = true;
        break;
      case '{':
        this.#open({ kind: 'object', key: '', expectsKey: true });
        break;
      case '[':
        this.#open({ kind: 'array', key: ELEMENT, expectsKey: false });
        break;
      case '}':
      case ']':
        if (level?.kind === (byte === 0x7d ? 'object' : 'array')) this.#levels.pop();
        else this.#broken = true;
        break;
    }
  }

  #open(level: Level): void {
    if (this.#levels.length >= MAX_DEPTH) this.#broken = true;
    else this.#levels.push(level);
  }
}

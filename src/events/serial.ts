/**
 * Names that end in a number which goes up by one: `r-1`, `r-2` and so on. Pure.
 *
 * Not by converting each number: the engine keeps the text of every number that it was asked for in a table of some
 * thousands, and what stands there is copied into the old generation before it is forgotten.
 */

const LAST = Array.from({ length: 1_000 }, (_, at) => String(at).padStart(3, '0'));

export class SerialNames {
  readonly #prefix: string;
  #thousands = 0;
  /** All but the last three digits. */
  #head: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
    this.#head = prefix;
  }

  /** The name with `number`, a natural number; quick where it is near the one before. */
  of(number: number): string {
    if (number < 1_000) return `${this.#prefix}${number}`;
    const thousands = Math.floor(number / 1_000);
    if (thousands !== this.#thousands) {
      this.#thousands = thousands;
      this.#head = `${this.#prefix}${thousands}`;
    }
    return `${this.#head}${LAST[number - thousands * 1_000]}`;
  }
}

/** One name after another, from 1 on. */
export function serialNames(prefix: string): () => string {
  const names = new SerialNames(prefix);
  let count = 0;
  return () => names.of(++count);
}

/** What an index finds: the rules of the narrowest pattern, and a way out to the wider ones. */
export interface Scope<T> {
  readonly rules: readonly T[];
  readonly outer: Scope<T> | null;
  /** The pattern is `*`: it names everything, and so nothing in particular. */
  readonly any: boolean;
}

/**
 * `docs/reference/choices.md` as data: where the gateway takes the other way that a case's `policyChoice` allows.
 *
 * A row is a rule about a kind of case, never about one: the file, the category and the text of `policyChoice` must
 * match, and what was seen must be what the row says.
 */
import type { CorpusCase } from '../support/corpus/case.js';

export interface Choice {
  readonly file: string;
  readonly category: string;
  readonly policyChoice: string;
  /** The first word of what is seen instead. */
  readonly seen: string;
}

/** Reads the table whose first columns are file, category, policyChoice, seen. Throws on a row cut short. */
export function parseChoices(markdown: string): readonly Choice[] {
  const rows = markdown.split('\n').filter(line => /^\| `/.test(line));
  return rows.map(row => {
    const [file, category, policyChoice, seen] = row
      .split('|')
      .slice(1)
      .map(cell => cell.trim().replaceAll('`', ''));
    if (!file || !category || !policyChoice || !seen)
      throw new Error(`choices.md: a row is cut short: ${row}`);
    return { file, category, policyChoice, seen };
  });
}

/** The row that allows `seen` for `corpusCase`, or null. */
export function choiceFor(
  choices: readonly Choice[],
  file: string,
  corpusCase: CorpusCase,
  seen: string,
): Choice | null {
  if (corpusCase.policyChoice === undefined) return null;
  const word = /^[\w-]+/.exec(seen)?.[0] ?? '';
  const matches = (choice: Choice): boolean =>
    choice.file === file &&
    choice.category === corpusCase.category &&
    choice.policyChoice === corpusCase.policyChoice &&
    choice.seen === word;
  return choices.find(matches) ?? null;
}

/** What is wrong with a policy, each with its place: all are listed at once. */
import { GatewayError } from '../core/errors.js';

export interface Problem {
  /** `allow_domain[2].port`, `--allow`, or empty for the document as a whole. */
  readonly path: string;
  /** One sentence, without control characters. */
  readonly message: string;
  /** Line of the file, from 1. */
  readonly line?: number;
}

/** `policy.yaml:12: allow_domain[2]: '*example.com' is not a host pattern; …`, one line a problem. */
export function problemText(source: string, { path, message, line }: Problem): string {
  const place = line === undefined ? source : `${source}:${line}`;
  return [place, path, message].filter(part => part !== '').join(': ');
}

/** `CONFIG_INVALID`, with every problem in its message. */
export function configInvalid(source: string, problems: readonly Problem[]): GatewayError {
  return new GatewayError('CONFIG_INVALID', problems.map(problem => problemText(source, problem)).join('\n'));
}

/** A file that is wrong throughout is not told line by line. */
export const MAX_LISTED = 1000;

/** The problems, and how many more there are. */
export function withRest(problems: readonly Problem[], more: number): readonly Problem[] {
  return more > 0 ? [...problems, { path: '', message: `and ${more} more problems` }] : problems;
}

/** Bytes of a policy file; more is refused before it is parsed. */
export const MAX_POLICY_BYTES = 1024 * 1024;

const MAX_QUOTED = 100;

/** An operator's text inside a message: quoted, cut, and with nothing in it that a terminal would obey. */
export function quoted(text: string): string {
  const cut = text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text;
  const safe = cut.replace(/[^\x20-\x7e\p{L}\p{M}\p{N}…]/gu, character => {
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  });
  return `'${safe}'`;
}

/**
 * YAML 1.2 or JSON text to plain values, with the line of each (https://yaml.org/spec/1.2.2/).
 *
 * Pure. Duplicate keys, several documents, custom tags and aliases that multiply are refused: a file has one
 * reading, and reading it costs no more than its size.
 */
import {
  type Document,
  isPair,
  isScalar,
  Lexer,
  LineCounter,
  Parser,
  parseDocument,
  visit,
  type YAMLError,
} from 'yaml';
import { err, ok, type Result } from '../core/result.js';
import { MAX_LISTED, MAX_POLICY_BYTES, type Problem, quoted, withRest } from './problem.js';

export type ValuePath = readonly (string | number)[];

export interface YamlText {
  readonly value: unknown;
  /** Line of the value at `path`, or of its key when `key` is given; undefined where the file has none. */
  lineOf(path: ValuePath, key?: string): number | undefined;
}

const MAX_ALIASES = 100;

export function parseYaml(text: string): Result<YamlText, readonly Problem[]> {
  if (text.length > MAX_POLICY_BYTES)
    return err([{ path: '', message: `is larger than ${MAX_POLICY_BYTES} bytes` }]);
  if (isTooDeep(text)) return err([{ path: '', message: 'is nested too deeply to be a policy' }]);
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    uniqueKeys: false,
    prettyErrors: false,
    merge: false,
  });
  const faults = [...document.errors, ...document.warnings];
  const listed = faults.slice(0, MAX_LISTED).map(error => yamlProblem(error, text, lines));
  const problems = [...listed, ...oddNodes(document, lines)];
  if (problems.length > 0) return err(withRest(problems, faults.length - listed.length));
  try {
    const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
    return ok({ value, lineOf: (path, key) => lineOf(document, lines, path, key) });
  } catch (error) {
    // The library throws for what only unfolding shows: too many aliases, or one that refers to itself.
    return err([{ path: '', message: error instanceof Error ? error.message : 'cannot be unfolded' }]);
  }
}

/** More open collections than a policy has, with room for comments on them. */
const MAX_OPEN = 64;

/** Composing a document recurses: what nests deeper than any policy is found by the parser's own stack, before. */
function isTooDeep(text: string): boolean {
  const parser = new Parser();
  for (const lexeme of new Lexer().lex(text)) {
    // The finished documents are not wanted here, only how far the parser is from the ground.
    for (const _ of parser.next(lexeme));
    if (parser.stack.length > MAX_OPEN) return true;
  }
  return false;
}

function yamlProblem({ message, pos: [start] }: YAMLError, text: string, lines: LineCounter): Problem {
  const hint = text.startsWith('*', start) ? STAR_HINT : '';
  return { path: '', message: `${firstLine(message)}${hint}`, line: lines.linePos(start).line };
}

const STAR_HINT = `; a pattern that begins with '*' is written in quotes: '*.example.com'`;

function firstLine(text: string): string {
  return (text.split('\n', 1)[0] ?? '').replace(/[^\x20-\x7e]/g, '?');
}

function oddNodes(document: Document, lines: LineCounter): Problem[] {
  const problems: Problem[] = [];
  const complain = (message: string, range: readonly number[] | null | undefined) =>
    problems.push({ path: '', message, line: lines.linePos(range?.[0] ?? 0).line });
  visit(document, {
    Map: (_, map) => checkKeys(map.items, complain),
    Alias: (_, alias) =>
      void (
        alias.resolve(document) ??
        complain(`no anchor is called ${quoted(alias.source)}${STAR_HINT}`, alias.range)
      ),
  });
  return problems;
}

type Complain = (message: string, range: readonly number[] | null | undefined) => void;

/** The library's own check for duplicates compares each key with each. */
function checkKeys(pairs: readonly { readonly key: unknown }[], complain: Complain): void {
  const seen = new Set<string>();
  for (const { key } of pairs) {
    // An alias or a collection as a key would become text that nobody wrote.
    if (!isScalar(key)) complain('a key is text', rangeOf(key));
    else {
      const text = String(key.value ?? '');
      if (seen.has(text)) complain(`the key ${quoted(text)} is given twice`, key.range);
      // JavaScript's own objects treat this key apart: it would be lost instead of refused.
      if (text === '__proto__') complain(`'__proto__' is not a key`, key.range);
      seen.add(text);
    }
  }
}

function lineOf(document: Document, lines: LineCounter, path: ValuePath, key?: string): number | undefined {
  if (key !== undefined) {
    const parent: unknown = path.length === 0 ? document.contents : document.getIn(path, true);
    const pair = pairsOf(parent).find(item => isScalar(item.key) && String(item.key.value) === key);
    if (pair !== undefined) return startLine(pair.key, lines);
  }
  for (let depth = path.length; depth >= 0; depth--) {
    const node: unknown = depth === 0 ? document.contents : document.getIn(path.slice(0, depth), true);
    const line = startLine(node, lines);
    if (line !== undefined) return line;
  }
  return undefined;
}

function pairsOf(node: unknown): readonly { readonly key: unknown }[] {
  if (typeof node !== 'object' || node === null || !('items' in node) || !Array.isArray(node.items))
    return [];
  return node.items.filter(item => isPair(item));
}

function startLine(node: unknown, lines: LineCounter): number | undefined {
  const start = rangeOf(node)?.[0];
  return start === undefined ? undefined : lines.linePos(start).line;
}

function rangeOf(node: unknown): readonly number[] | undefined {
  if (typeof node !== 'object' || node === null || !('range' in node) || !Array.isArray(node.range))
    return undefined;
  return node.range.filter(offset => typeof offset === 'number');
}

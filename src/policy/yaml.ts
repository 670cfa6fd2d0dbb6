/**
 * YAML 1.2 or JSON text to plain values, with the line of each (https://yaml.org/spec/1.2.2/).
 *
 * Pure. Duplicate keys, several documents, custom tags and aliases that multiply are refused: a file has one
 * reading, and reading it costs no more than its size.
 */
import { type Document, isPair, isScalar, LineCounter, parseDocument, visit, type YAMLError } from 'yaml';
import { err, ok, type Result } from '../core/result.js';
import { MAX_POLICY_BYTES, type Problem, quoted } from './problem.js';

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
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    uniqueKeys: true,
    prettyErrors: false,
    merge: false,
  });
  const problems = [...document.errors, ...document.warnings].map(error => yamlProblem(error, text, lines));
  problems.push(...oddNodes(document, lines));
  if (problems.length > 0) return err(problems);
  try {
    const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
    return ok({ value, lineOf: (path, key) => lineOf(document, lines, path, key) });
  } catch (error) {
    // The library throws for what only unfolding shows: too many aliases, or one that refers to itself.
    return err([{ path: '', message: error instanceof Error ? error.message : 'cannot be unfolded' }]);
  }
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
    // JavaScript's own objects treat this key apart: it would be lost instead of refused.
    Pair: (_, { key }) =>
      void (isScalar(key) && key.value === '__proto__' && complain(`'__proto__' is not a key`, key.range)),
    Alias: (_, alias) =>
      void (
        alias.resolve(document) ??
        complain(`no anchor is called ${quoted(alias.source)}${STAR_HINT}`, alias.range)
      ),
  });
  return problems;
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
  if (typeof node !== 'object' || node === null || !('range' in node) || !Array.isArray(node.range))
    return undefined;
  const start: unknown = node.range[0];
  return typeof start === 'number' ? lines.linePos(start).line : undefined;
}

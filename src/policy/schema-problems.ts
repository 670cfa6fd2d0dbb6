/** What zod found, as an operator would say it. Pure. */
import type { z } from 'zod';
import { MAX_LISTED, type Problem, quoted, withRest } from './problem.js';
import { policyJsonSchema } from './schema.js';
import type { ValuePath, YamlText } from './yaml.js';

type Issue = z.core.$ZodIssue;

/** What issues are told by: the value that has them, its text where there is one, the schema that has all keys. */
interface Reading {
  readonly root: unknown;
  readonly text: YamlText | undefined;
  readonly vocabulary: () => object;
}

/** Every issue with its path and, where the text is known, its line. `vocabulary`: the JSON Schema, for guesses. */
export function schemaProblems(
  issues: readonly Issue[],
  root: unknown,
  text?: YamlText,
  vocabulary: () => object = policyJsonSchema,
): readonly Problem[] {
  const listed = issues.slice(0, MAX_LISTED);
  const problems = listed
    .flatMap(issue => flatten(issue, [], { root, text, vocabulary }))
    .sort((a, b) => (a.line ?? 0) - (b.line ?? 0));
  return withRest(problems, issues.length - listed.length);
}

function flatten(issue: Issue, above: ValuePath, reading: Reading): Problem[] {
  const { root, text } = reading;
  const path = [...above, ...issue.path.filter(part => typeof part !== 'symbol')];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.slice(0, MAX_LISTED).map(key => {
        const guess = issue.keys.length > MAX_GUESSES ? '' : similarKey(key, path, reading.vocabulary);
        return problem([...path, key], `unknown key${guess}`, text?.lineOf(path, key));
      });
    case 'invalid_union':
      return unionProblems(issue, path, reading);
    case 'invalid_key':
      // The key is the last part of the path: the message says what is wrong with it.
      return issue.issues.map(inner =>
        problem(path, keyMessage(inner, path), text?.lineOf(path.slice(0, -1), String(path.at(-1)))),
      );
    case 'invalid_type':
      return [
        problem(
          path,
          `expected ${article(issue.expected)}, found ${kindOf(valueAt(root, path))}`,
          text?.lineOf(path),
        ),
      ];
    case 'invalid_value':
      return [
        problem(
          path,
          `expected ${issue.values.map(value => quoted(String(value))).join(' or ')}`,
          text?.lineOf(path),
        ),
      ];
    default:
      return [problem(path, plain(issue), text?.lineOf(path))];
  }
}

/** An entry may be text or a mapping: the problems are those of the branch whose type fits. */
function unionProblems(
  issue: Extract<Issue, { readonly code: 'invalid_union' }>,
  path: ValuePath,
  reading: Reading,
): Problem[] {
  const { root, text } = reading;
  const branches: readonly (readonly Issue[])[] = issue.errors;
  // The key that tells the branches apart names none of them.
  if (branches.length === 0 && 'options' in issue && Array.isArray(issue.options)) {
    const options = issue.options.map(option => quoted(String(option))).join(' or ');
    return [problem(path, `expected ${options}`, text?.lineOf(path))];
  }
  const fitting = branches.find(
    issues => !issues.some(inner => inner.code === 'invalid_type' && inner.path.length === 0),
  );
  if (fitting !== undefined) return fitting.flatMap(inner => flatten(inner, path, reading));
  const expected = branches.flatMap(issues =>
    issues.flatMap(inner => (inner.code === 'invalid_type' ? [article(inner.expected)] : [])),
  );
  return [
    problem(
      path,
      `expected ${expected.join(' or ')}, found ${kindOf(valueAt(root, path))}`,
      text?.lineOf(path),
    ),
  ];
}

function keyMessage(inner: Issue, path: ValuePath): string {
  return inner.message.startsWith("'")
    ? inner.message
    : `${quoted(String(path.at(-1) ?? ''))} ${inner.message}`;
}

function plain(issue: Issue): string {
  return issue.message.replace(/^(?:Invalid input|Too small|Too big): /, '');
}

function problem(path: ValuePath, message: string, line: number | undefined): Problem {
  return line === undefined ? { path: pathText(path), message } : { path: pathText(path), message, line };
}

/** `allow_domain[2].port` */
export function pathText(path: ValuePath): string {
  return path
    .map((part, i) => (typeof part === 'number' ? `[${part}]` : `${i === 0 ? '' : '.'}${shownKey(part)}`))
    .join('');
}

function shownKey(key: string): string {
  return /^[\w.-]{1,100}$/.test(key) ? key : quoted(key);
}

function valueAt(root: unknown, path: ValuePath): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = new Map<string | number, unknown>(Object.entries(value)).get(String(part));
  }
  return value;
}

const KINDS = new Map([
  ['object', 'a mapping'],
  ['record', 'a mapping'],
  ['array', 'a list'],
  ['string', 'text'],
  ['number', 'a number'],
  ['int', 'a whole number'],
  ['boolean', 'true or false'],
]);

function article(type: string): string {
  return KINDS.get(type) ?? type;
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return `the number ${value}`;
  return Array.isArray(value) ? 'a list' : article(typeof value);
}

/** Every key that a policy file knows, wherever it stands. */
function knownKeys(schema: unknown): readonly string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  const own =
    'properties' in schema && typeof schema.properties === 'object'
      ? Object.keys(schema.properties ?? {})
      : [];
  return [...own, ...Object.values(schema).flatMap(knownKeys)];
}

/** A file of nothing but unknown keys gets no guesses: each costs a comparison with every known key. */
const MAX_GUESSES = 20;

/** The known key that differs least, if it is near. */
function similarKey(key: string, path: ValuePath, vocabulary: () => object): string {
  if (key.length > 40) return '';
  const near = [...new Set(knownKeys(vocabulary()))]
    .map(known => ({ known, distance: distance(key.toLowerCase(), known) }))
    .sort((a, b) => a.distance - b.distance)[0];
  const limit = path.length === 0 ? 3 : 2;
  return near !== undefined && near.known !== key && near.distance <= limit
    ? `; did you mean '${near.known}'?`
    : '';
}

/** Levenshtein's distance of two short texts. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

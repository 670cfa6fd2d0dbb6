import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '..', '..');
const text = readFileSync(join(ROOT, 'docs/reference/must-pass.md'), 'utf8');
const rows = text.split('\n').filter(line => /^\| \d+ \|/.test(line));

/** `file`: title; file: title … */
function proofs(row: string): readonly (readonly [file: string, title: string])[] {
  return [...row.matchAll(/`([\w/.-]+\.test\.ts)`: (.*?)(?=; `[\w/.-]+\.test\.ts`: | \|$)/g)].map(
    ([, file = '', title = '']) => [file, title] as const,
  );
}

const HOLE = /\$\{[^}]*\}|\$\w+|%[sdijp]/;

/** True for a test's own sentence, or for one that its table makes of it. */
function isTitle(source: string, wanted: string): boolean {
  const templates = [...source.matchAll(/(['`"])((?:\\.|(?!\1)[^\\\n])*)\1/g)].map(([, , literal = '']) =>
    literal.replaceAll("\\'", "'"),
  );
  return templates.some(template => {
    if (template === wanted) return true;
    const parts = template.split(new RegExp(HOLE.source, 'g'));
    if (parts.length < 2 || parts.join('').trim() === '') return false;
    const pattern = parts.map(part => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('(.+)');
    const match = new RegExp(`^${pattern}$`).exec(wanted);
    // What fills the holes stands in the file too: a row of its table.
    return match?.slice(1).every(filling => HOLE.test(filling) || source.includes(filling)) ?? false;
  });
}

test('the table holds forty behaviours, each with at least one test', () => {
  expect(rows.map(row => Number(/^\| (\d+)/.exec(row)?.[1]))).toEqual(
    Array.from({ length: 40 }, (_, i) => i + 1),
  );
  expect(rows.filter(row => proofs(row).length === 0)).toEqual([]);
});

test('every test that the table names exists', () => {
  const missing = rows.flatMap(row =>
    proofs(row).flatMap(([file, title]) => {
      const path = join(ROOT, 'test', file);
      if (!existsSync(path)) return [`${file} does not exist`];
      return isTitle(readFileSync(path, 'utf8'), title) ? [] : [`${file}: ${title}`];
    }),
  );
  expect(missing).toEqual([]);
});

test('a name that no test has is found out', () => {
  const source = "test('one thing is another', () => {});\ntest('a %s thing', f);\nconst rows = ['red'];";
  expect(isTitle(source, 'one thing is another')).toBe(true);
  expect(isTitle(source, 'a red thing')).toBe(true);
  expect(isTitle(source, 'a blue thing')).toBe(false);
  expect(isTitle(source, 'one thing is not another')).toBe(false);
});

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { EVENT_TYPES, eventJsonSchema, eventSchema } from '../src/events/schema.js';

const read = (path: string): string => readFileSync(path, 'utf8');

/** The words in back quotes that begin a row of a table. */
function rowsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^\| `([^`]+)` \|/gm)].map(([, word = '']) => word);
}

/** The Markdown files of the project. */
function documents(): string[] {
  const inDocs = readdirSync('docs', { recursive: true, encoding: 'utf8' }).map(name => join('docs', name));
  return [...readdirSync('.'), ...inDocs].filter(name => name.endsWith('.md')).sort();
}

test('docs/reference/events.md lists every type of event with its sentence', () => {
  const text = read('docs/reference/events.md');
  const missing = Object.entries(EVENT_TYPES).filter(
    ([type, says]) => !text.includes(`| \`${type}\` | ${says} |`),
  );
  expect(missing).toEqual([]);
});

test('docs/reference/events.md lists every field of an event, and no other', () => {
  const { network, exec, file, body, gateway, ...head } = eventSchema.shape;
  const { timings } = network.unwrap().shape;
  const parts = [network, timings, exec, file, body, gateway].flatMap(part =>
    Object.keys(part.unwrap().shape),
  );
  const fields = [...Object.keys(head), ...parts];
  const listed = rowsOf(read('docs/reference/events.md')).filter(word => !(word in EVENT_TYPES));
  expect(listed).toEqual(fields);
});

test('docs/reference/events.schema.json is the schema (UPDATE_DOCS=1 writes it)', () => {
  const path = 'docs/reference/events.schema.json';
  const text = `${JSON.stringify(eventJsonSchema(), null, 2)}\n`;
  if (process.env.UPDATE_DOCS) writeFileSync(path, text);
  expect(read(path)).toBe(text);
});

test('docs/reference/errors.md lists every error code, and no other', () => {
  const codes = [...read('src/core/errors.ts').matchAll(/^ {2}\| '([A-Z_]+)'/gm)].map(([, code]) => code);
  expect(rowsOf(read('docs/reference/errors.md'))).toEqual(codes);
});

test.each(documents())('%s links to files that exist', path => {
  const links = [...read(path).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map(([, target = '']) => target);
  const broken = links.filter(link => !/^[a-z]+:/.test(link) && !existsSync(join(dirname(path), link)));
  expect(broken).toEqual([]);
});

test('README.md, once it is there, has at most 150 lines', () => {
  const lines = existsSync('README.md') ? read('README.md').split('\n').length : 0;
  expect(lines).toBeLessThanOrEqual(150);
});

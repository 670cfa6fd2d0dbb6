import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { problemText } from '../../src/policy/problem.js';
import { parseSinks } from '../../src/sinks/document.js';
import { sinksJsonSchema, sinksSchema } from '../../src/sinks/schema.js';
import { sinkOfUrl } from '../../src/sinks/url.js';
import { parseDuration, parseListen, parseSize, parseTarget } from '../../src/sinks/values.js';

const REFERENCE = join(import.meta.dirname, '../../docs/reference');
const reference = (file: string): string => readFileSync(join(REFERENCE, file), 'utf8');

function problemsOf(text: string): string[] {
  const parsed = parseSinks(text);
  return parsed.ok ? [] : parsed.error.map(problem => problemText('s.yaml', problem));
}

test('every problem of a file is listed at once, with its line and its path', () => {
  const text = `
sinks:
  - type: webhok
    url: https://a.test/
  - type: webhook
    url: http://a.test/
    filtr: 'true'
    filter: 'network.hots == "x"'
    retry: { first: soon }
    secret_from: { env: A, file: b }
  - type: webhook
    url: https://user:pa55word@a.test/
  - type: file
    path: a.jsonl
    name: same
    rotate: { size: 10MB }
  - { type: stdout, name: same }
`;
  expect(problemsOf(text)).toEqual([
    expect.stringMatching(/^s\.yaml:3: sinks\[0\]\.type: expected 'file' or 'stdout' or 'webhook'/),
    "s.yaml:6: sinks[1].url: 'http://a.test/' is not encrypted: only this host may be reached so",
    "s.yaml:7: sinks[1].filtr: unknown key; did you mean 'filter'?",
    's.yaml:8: sinks[1].filter: column 9: No such key: hots',
    "s.yaml:9: sinks[1].retry.first: 'soon' is not a duration such as 500ms, 30s, 5m or 12h",
    "s.yaml:10: sinks[1].secret_from: give one of 'env' and 'file'",
    's.yaml:12: sinks[2].url: holds credentials: they belong into a variable or a file',
    "s.yaml:16: sinks[3].rotate.size: '10MB' is not a size such as 64KiB, 100MiB or 2GiB",
  ]);
});

test('a password in a URL does not stand in the message that refuses it', () => {
  expect(problemsOf('sinks: [{ type: webhook, url: "https://user:pa55word@a.test/" }]').join()).not.toContain(
    'pa55word',
  );
});

test.each([
  [
    'a port without a token',
    'sinks: [{ type: server, listen: "127.0.0.1:0" }]',
    's.yaml:1: sinks[0].listen: a port is open to every user of this host: token_from is needed, or a unix socket',
  ],
  [
    'two logins',
    'sinks: [{ type: nats, url: "tls://a.test", token_from: { env: A }, creds_file: x }]',
    "s.yaml:1: sinks[0]: 'token_from', 'user' and 'creds_file' exclude each other",
  ],
  [
    'a subject with a wildcard',
    'sinks: [{ type: nats, url: "tls://a.test", subject: "a.>" }]',
    's.yaml:1: sinks[0].subject: is not a subject of words, {gateway}, {sandbox} and {type} between dots',
  ],
  [
    'two sinks of one name',
    'sinks: [{ type: stdout, name: a }, { type: file, path: x, name: a }]',
    "s.yaml:1: sinks[1].name: 'a' is the name of another sink",
  ],
  [
    'two writers of one file',
    'sinks: [{ type: file, path: x }, { type: webhook, url: "https://a.test/", dead_letter: { file: x } }]',
    "s.yaml:1: sinks[1].dead_letter: 'x' is written by another sink",
  ],
  ['a list instead of a mapping', '[]', 's.yaml:1: expected a mapping, found a list'],
  ['an unknown key at the top', 'sink: []', "s.yaml:1: sink: unknown key; did you mean 'sinks'?"],
])('%s is refused', (_name, text, problem) => {
  expect(problemsOf(text)).toEqual([problem]);
});

test.each(['', 'sinks: []', '{}', '{"sinks":[{"type":"stdout"}]}'])('%j is a file of sinks', text => {
  expect(problemsOf(text)).toEqual([]);
});

test.each([
  ['500ms', 500],
  ['30s', 30_000],
  ['5m', 300_000],
  ['12h', 43_200_000],
  ['0s', null],
  ['5', null],
  ['999999h', null],
])('parseDuration %s', (text, want) => {
  const parsed = parseDuration(text);
  expect(parsed.ok ? parsed.value : null).toBe(want);
});

test.each([
  ['64KiB', 65_536],
  ['2GiB', 2 ** 31],
  ['1MB', null],
  ['0KiB', null],
])('parseSize %s', (text, want) => {
  const parsed = parseSize(text);
  expect(parsed.ok ? parsed.value : null).toBe(want);
});

test.each([
  ['unix:/run/s.sock', { kind: 'unix', path: '/run/s.sock' }],
  ['127.0.0.1:0', { kind: 'tcp', address: '127.0.0.1', port: 0 }],
  ['[::1]:9400', { kind: 'tcp', address: '::1', port: 9400 }],
  ['0.0.0.0:9400', null],
  ['localhost:9400', null],
  ['127.0.0.1:65536', null],
  ['127.0.0.1:01', null],
  ['unix:', null],
  [`unix:/${'x'.repeat(200)}`, null],
])('parseListen %s', (text, want) => {
  const parsed = parseListen(text);
  expect(parsed.ok ? parsed.value : null).toEqual(want);
});

test.each([
  ['https://a.test/x', true],
  ['http://127.0.0.1:8/x', true],
  ['http://[::1]:8/x', true],
  ['http://localhost/', true],
  ['http://127.0.0.2/', false],
  ['http://localhost.evil.test/', false],
  ['ftp://a.test/', false],
  ['https://', false],
  ['https://a.test/#x', false],
])('parseTarget %s', (text, want) => {
  expect(parseTarget(text, ['https', 'http']).ok).toBe(want);
});

test.each([
  ['https://a.test/hook', { type: 'webhook', url: 'https://a.test/hook' }],
  ['file:///var/log/e.jsonl', { type: 'file', path: '/var/log/e.jsonl' }],
  ['unix:/run/e.sock', { type: 'server', listen: 'unix:/run/e.sock' }],
  ['nats://127.0.0.1:4222/a.b', { type: 'nats', url: 'nats://127.0.0.1:4222', subject: 'a.b' }],
  ['tls://nats.test', { type: 'nats', url: 'tls://nats.test' }],
  ['syslog://log.test:6514', { type: 'syslog', url: 'syslog://log.test:6514' }],
  ['otlp+http://127.0.0.1:4318', { type: 'otlp', url: 'http://127.0.0.1:4318' }],
  ['file:e.jsonl', { type: 'file', path: 'e.jsonl' }],
])('--event-sink %s stands for an entry of the file', (text, want) => {
  const entry = sinkOfUrl(text);
  expect(entry).toEqual({ ok: true, value: want });
  expect(sinksSchema.safeParse({ sinks: [entry.ok && entry.value] }).success).toBe(true);
});

test('docs/reference/sinks.schema.json is the schema of the code (UPDATE_DOCS=1 writes it)', () => {
  const current = `${JSON.stringify(sinksJsonSchema(), null, 2)}\n`;
  if (process.env.UPDATE_DOCS) writeFileSync(join(REFERENCE, 'sinks.schema.json'), current);
  expect(reference('sinks.schema.json')).toBe(current);
});

const blocks = Array.from(reference('sinks.md').matchAll(/```yaml\n(.*?)```/gs), ([, yaml = '']) => yaml);

test('docs/reference/sinks.md has an example of every kind of sink', () => {
  const kinds = [
    ...JSON.stringify(sinksJsonSchema()).matchAll(/"type":\{"type":"string","const":"([a-z]+)"/g),
  ].map(([, kind]) => kind);
  expect(kinds.length).toBeGreaterThan(2);
  expect(kinds.filter(kind => !blocks.some(block => block.includes(`type: ${kind}`)))).toEqual([]);
});

test.each(blocks)('the example of docs/reference/sinks.md is a valid file: %s', yaml => {
  expect(problemsOf(yaml)).toEqual([]);
});

test('examples/sinks.yaml is a valid file', () => {
  expect(problemsOf(readFileSync(join(import.meta.dirname, '../../examples/sinks.yaml'), 'utf8'))).toEqual(
    [],
  );
});

test('docs/reference/sinks.md names every key of the file', () => {
  const keys = new Set<string>();
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    if ('properties' in node) for (const key of Object.keys(node.properties as object)) keys.add(key);
    Object.values(node).forEach(walk);
  };
  walk(sinksJsonSchema());
  const text = reference('sinks.md');
  expect([...keys].filter(key => !text.includes(`\`${key}\``))).toEqual([]);
});

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parsePolicy } from '../../src/policy/document.js';
import { DENY_REASONS, REASON_MEANINGS } from '../../src/policy/reasons.js';
import { policyJsonSchema, policySchema } from '../../src/policy/schema.js';

const REFERENCE = join(import.meta.dirname, '../../docs/reference');

function reference(file: string): string {
  return readFileSync(join(REFERENCE, file), 'utf8');
}

test('docs/reference/policy.schema.json is the schema of the code (UPDATE_SCHEMA=1 writes it)', () => {
  const current = `${JSON.stringify(policyJsonSchema(), null, 2)}\n`;
  if (process.env.UPDATE_SCHEMA === '1') writeFileSync(join(REFERENCE, 'policy.schema.json'), current);
  expect(reference('policy.schema.json')).toBe(current);
});

test('docs/reference/reasons.md has one row for each deny reason, with its meaning, and no other', () => {
  const rows = Array.from(
    reference('reasons.md').matchAll(/^\| `([a-z-]+)` \| ([^|]+) \|/gm),
    ([, code, meaning]) => [code, meaning?.trim()],
  );
  expect(Object.fromEntries(rows)).toEqual(REASON_MEANINGS);
  expect(rows).toHaveLength(DENY_REASONS.length);
});

test('docs/reference/policy.md names every key of the file', () => {
  const text = reference('policy.md');
  const missing = Object.keys(policySchema.shape).filter(key => !text.includes(`\`${key}\``));
  expect(missing).toEqual([]);
});

const blocks = Array.from(reference('policy.md').matchAll(/```yaml\n(.*?)```/gs), ([, yaml = '']) => yaml);

test('docs/reference/policy.md has examples', () => {
  expect(blocks.length).toBeGreaterThan(4);
});

test.each(blocks)('the example of docs/reference/policy.md is a valid policy: %s', yaml => {
  expect(parsePolicy(yaml, 'policy.md')).toMatchObject({ ok: true });
});

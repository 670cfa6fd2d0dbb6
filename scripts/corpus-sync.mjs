// Copies the shared corpus into test/corpus, which is committed so that a clone is complete.
import { copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const from = process.argv[2] ?? join(root, '..', 'shared', 'corpus');
const to = join(root, 'test', 'corpus');
if (!existsSync(from)) {
  console.error(`corpus:sync: no folder ${from}; name it: npm run corpus:sync -- DIR`);
  process.exit(2);
}
mkdirSync(to, { recursive: true });
const names = readdirSync(from).filter(name => name.endsWith('.json') || name === 'README.md');
for (const name of names) copyFileSync(join(from, name), join(to, name));
console.log(`corpus:sync: ${names.length} files`);

// npm runs `prepare` at every `npm ci`, and again when `npx sallyport` links a checkout for the first time, also for a
// user who may not write here: what is built already is not built again.
import { spawnSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

function changedAt(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(0, ...readdirSync(path).map(name => changedAt(join(path, name))));
}

const built = changedAt(join(root, 'dist', 'cli', 'warden.cjs'));
const sources = ['src', 'scripts', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json'];
if (built === 0 || sources.some(name => changedAt(join(root, name)) > built)) {
  const { status } = spawnSync('npm', ['run', 'build'], { cwd: root, stdio: 'inherit' });
  process.exit(status ?? 1);
}

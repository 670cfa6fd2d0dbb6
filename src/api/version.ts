/** The version of this program, from its package (shell: files). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../policy/load.js';

export function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8'));
  return (manifest as { version: string }).version;
}

/** Sources compiled into a folder of their own, for tests that need several real processes. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { transformSync } from '@swc/core';

const ROOT = join(__dirname, '..', '..');

export interface Compiled {
  /** Holds the compiled `folders` under their paths in `src`. */
  readonly dir: string;
  remove(): void;
}

/** Compiles the files of `folders` (paths under `src`, not what is below them) to ES modules. */
export function compileSources(folders: readonly string[]): Compiled {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-compiled-'));
  writeFileSync(join(dir, 'package.json'), '{"type":"module"}');
  symlinkSync(join(ROOT, 'node_modules'), join(dir, 'node_modules'));
  for (const folder of folders) {
    for (const name of readdirSync(join(ROOT, 'src', folder))) {
      if (!name.endsWith('.ts') || name.endsWith('.d.ts')) continue;
      const { code } = transformSync(readFileSync(join(ROOT, 'src', folder, name), 'utf8'), {
        jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
        module: { type: 'es6' },
      });
      const target = join(dir, folder, name.replace(/ts$/, 'js'));
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, code);
    }
  }
  return { dir, remove: () => rmSync(dir, { recursive: true }) };
}

/** Seeds out of the corpora (shell: it reads `test/corpus`). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../src/policy/load.js';

export type SeedCase = Readonly<Record<string, unknown>>;

/** The cases of one corpus file, rule sets included. */
export function casesOf(name: string): readonly SeedCase[] {
  const path = join(packageRoot(), 'test', 'corpus', `${name}.json`);
  const { cases, ruleSets = [] } = JSON.parse(readFileSync(path, 'utf8')) as {
    readonly cases: readonly SeedCase[];
    readonly ruleSets?: readonly SeedCase[];
  };
  return [...cases, ...ruleSets];
}

/** The bytes that the cases hold in Base64 or in hexadecimal under `key`; those that hold none are left out. */
export function bytesOf(name: string, key: string, encoding: 'base64' | 'hex' = 'base64'): readonly Buffer[] {
  return casesOf(name).flatMap(one => {
    const text = one[key];
    return typeof text === 'string' && text !== '' ? [Buffer.from(text, encoding)] : [];
  });
}

/** The texts that the cases hold under `key`, one character a byte where they are Latin-1, else as UTF-8. */
export function textsOf(name: string, ...keys: readonly string[]): readonly Buffer[] {
  return casesOf(name).flatMap(one => {
    const texts = keys.flatMap(key => one[key]).filter(text => typeof text === 'string' && text !== '');
    return texts.map(text => textBytes(String(text)));
  });
}

export function textBytes(text: string): Buffer {
  return Buffer.from(text, /^[\0-\xff]*$/.test(text) ? 'latin1' : 'utf8');
}

/** Those that a mutant may be made of in little time. */
export function short(seeds: readonly Buffer[], bytes = 2_048): readonly Buffer[] {
  return seeds.filter(seed => seed.length <= bytes);
}

/** One corpus file as it was found: outsiders write these, so what is not one is said in words and ends nothing else. */
import type { CorpusCase, CorpusFile } from '../support/corpus/case.js';

/**
 * Reads `text`, the content of `name`. A file that does not say what it is about is about what it is called; one
 * without cases or rule sets has none. Throws a sentence about a file that is no corpus file.
 */
export function parseCorpusFile(name: string, text: string): CorpusFile {
  const given = objectIn(name, text);
  const meta = isObject(given.meta) ? given.meta : {};
  const about = typeof meta.name === 'string' ? meta.name : name.replace(/\.json$/, '');
  const ruleSets = casesIn(name, 'ruleSets', given.ruleSets);
  return {
    meta: { ...meta, name: about },
    cases: casesIn(name, 'cases', given.cases),
    ...(ruleSets.length > 0 && { ruleSets }),
  };
}

function objectIn(name: string, text: string): Record<string, unknown> {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    throw new Error(`${name} is not JSON: ${error instanceof Error ? error.message : error}`);
  }
  if (!isObject(given)) throw new Error(`${name} is not an object with 'meta' and 'cases'`);
  return given;
}

function casesIn(name: string, key: string, list: unknown): CorpusCase[] {
  if (list === undefined) return [];
  if (!Array.isArray(list) || !list.every(isObject))
    throw new Error(`${name}: '${key}' is not a list of cases`);
  return list.map((item, i) => ({ ...item, id: typeof item.id === 'string' ? item.id : `${key}[${i}]` }));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

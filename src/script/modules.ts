/**
 * The files that a script is made of: what an `import` may name, and where in the operator's own text a problem lies.
 *
 * Pure. Names are relative to the script's folder, with `/`; nothing outside that folder has a name.
 */
import { posix } from 'node:path';
import { err, ok, type Result } from '../core/result.js';

/** Why a script does not load; lines and columns count from 1, 0 where there is none to tell. */
export interface LoadProblem {
  /** Relative to the script's folder. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** Source by name, types already stripped: all that an engine needs to run the script again. */
export type Sources = ReadonlyMap<string, string>;

/** Where modules come from: files while a script is loaded for the first time, `Sources` from then on. */
export interface Modules {
  /** The name of what `importer` means by `specifier`. The error is a sentence. */
  resolve(importer: string, specifier: string): Result<string, string>;
  load(name: string): Result<string, LoadProblem>;
}

export function modulesOf(sources: Sources): Modules {
  return {
    resolve: (importer, specifier) => {
      const name = moduleName(importer, specifier);
      if (!name.ok) return name;
      const found = candidates(name.value).find(candidate => sources.has(candidate));
      return found === undefined
        ? err(`there is no '${specifier}' among the files of the script`)
        : ok(found);
    },
    load: name => {
      const source = sources.get(name);
      if (source !== undefined) return ok(source);
      return err({ file: name, line: 0, column: 0, message: 'is not among the files of the script' });
    },
  };
}

/** The name that `specifier` has in `importer`, if it is a file in the script's folder at all. */
export function moduleName(importer: string, specifier: string): Result<string, string> {
  if (!/^\.{1,2}\//.test(specifier)) {
    return err(`'${specifier}' is not a file beside the script: write './name.js'`);
  }
  const name = posix.join(posix.dirname(importer), specifier);
  if (name.startsWith('../') || name.includes('\0')) {
    return err(`'${specifier}' is outside the folder of the script`);
  }
  return /\.m?[jt]s$/.test(name) ? ok(name) : err(`'${specifier}' does not end in .js or .ts`);
}

/** TypeScript names its neighbours by what they would be compiled to. */
export function candidates(name: string): readonly string[] {
  return /\.m?js$/.test(name) ? [name, name.replace(/js$/, 'ts')] : [name];
}

/** The place of an error in the text of a stack: `    at f (lib.js:3:40)`. */
export function placeOf(stack: string): Pick<LoadProblem, 'file' | 'line' | 'column'> | null {
  for (const line of stack.split('\n')) {
    const [, file, row, column] = /^\s*at (?:.*\()?([^()]+):(\d+):(\d+)\)?$/.exec(line) ?? [];
    if (file !== undefined && file !== PRELUDE_FILE)
      return { file, line: Number(row), column: Number(column) };
  }
  return null;
}

/** What our own code in a realm is called. */
export const PRELUDE_FILE = '<prelude>';

/** Where `word` stands first in `text`. */
export function positionOf(text: string, word: string): { readonly line: number; readonly column: number } {
  const at = text.indexOf(word);
  if (at < 0) return { line: 0, column: 0 };
  const before = text.slice(0, at).split('\n');
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}

/** The import of a name that its module does not export: the engine does not say where it stands. */
export function missingExport(message: string, sources: Sources): LoadProblem | null {
  const name = /^Could not find export '([^']+)'/.exec(message)?.[1];
  if (name === undefined) return null;
  for (const [file, text] of sources) {
    const imports = text.matchAll(/\b(?:import|export)\b[^;'"]*\bfrom\b/g);
    for (const { 0: clause, index } of imports) {
      const at = clause.search(new RegExp(`(?<![\\w$])${escaped(name)}(?![\\w$])`));
      if (at < 0) continue;
      const before = text.slice(0, index + at).split('\n');
      return { file, line: before.length, column: (before.at(-1)?.length ?? 0) + 1, message };
    }
  }
  return null;
}

function escaped(name: string): string {
  return name.replace(/[$.*+?^{}()|[\]\\]/g, '\\$&');
}

/** `folder/policy.ts:3:7: message`. */
export function problemLine(folder: string, { file, line, column, message }: LoadProblem): string {
  const place = line === 0 ? '' : `:${line}:${column}`;
  return `${posix.join(folder, file)}${place}: ${message}`;
}

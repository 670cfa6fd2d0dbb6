/**
 * TypeScript to JavaScript by putting blanks where types were: every line and column stays what the operator wrote, so
 * no source map is needed. What has a meaning at run time (`enum`, `namespace`, parameter properties) is refused.
 */
import { createRequire } from 'node:module';
import { err, ok, type Result } from '../core/result.js';
import type { LoadProblem } from './modules.js';

interface Stripper {
  transformSync(source: string, options: object): { readonly code: string };
}

/** Three megabytes of WebAssembly, loaded only where a script is TypeScript. */
let stripper: Stripper | null = null;

/** `file` is for the message. */
export function stripTypes(source: string, file: string): Result<string, LoadProblem> {
  stripper ??= createRequire(import.meta.url)('@swc/wasm-typescript') as Stripper;
  try {
    return ok(stripper.transformSync(source, { mode: 'strip-only', module: true, filename: file }).code);
  } catch (error) {
    return err(problemOf(error, file));
  }
}

function problemOf(error: unknown, file: string): LoadProblem {
  const { message, startLine, startColumn } = (typeof error === 'object' ? error : {}) as Record<
    string,
    unknown
  >;
  return {
    file,
    line: typeof startLine === 'number' ? startLine : 0,
    column: typeof startColumn === 'number' ? startColumn + 1 : 0,
    message: typeof message === 'string' ? message : `the types cannot be taken out (${String(error)})`,
  };
}

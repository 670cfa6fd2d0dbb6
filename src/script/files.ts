/**
 * The script's files, read once (shell: the file system). Only what lies in the script's own folder is read, whatever a
 * link says; a file that everybody may write decides nothing.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join, sep } from 'node:path';
import { errorCode } from '../core/errors.js';
import { err, ok, type Result } from '../core/result.js';
import { candidates, type LoadProblem, type Modules, moduleName } from './modules.js';
import { stripTypes } from './strip.js';

const MAX_FILES = 64;
const MAX_FILE_BYTES = 262_144;
const WRITABLE_BY_OTHERS = 0o002;

export interface ScriptFiles extends Modules {
  /** The script itself, as a module's name. */
  readonly entry: string;
  /** What was read so far. */
  readonly sources: ReadonlyMap<string, string>;
}

/** The files of the script at `path`. Nothing is read yet. */
export function scriptFiles(path: string): ScriptFiles {
  const folder = dirname(path);
  const sources = new Map<string, string>();
  return {
    entry: basename(path),
    sources,
    resolve: (importer, specifier) => {
      const name = moduleName(importer, specifier);
      if (!name.ok) return name;
      const found = candidates(name.value).find(
        candidate => sources.has(candidate) || exists(folder, candidate),
      );
      return found === undefined ? err(`there is no file '${specifier}'`) : ok(found);
    },
    load: name => {
      const known = sources.get(name);
      if (known !== undefined) return ok(known);
      const source =
        sources.size < MAX_FILES ? read(folder, name) : err(`the script has more than ${MAX_FILES} files`);
      if (!source.ok) return err({ file: name, line: 0, column: 0, message: source.error });
      const stripped: Result<string, LoadProblem> = /\.m?ts$/.test(name)
        ? stripTypes(source.value, name)
        : source;
      if (stripped.ok) sources.set(name, stripped.value);
      return stripped;
    },
  };
}

function exists(folder: string, name: string): boolean {
  try {
    realpathSync(join(folder, name));
    return true;
  } catch {
    // It does not exist, or may not be looked at: to a script that is the same.
    return false;
  }
}

function read(folder: string, name: string): Result<string, string> {
  let file: number | null = null;
  try {
    const root = realpathSync(folder);
    const path = realpathSync(join(root, name));
    if (!path.startsWith(root.endsWith(sep) ? root : root + sep))
      return err('is outside the folder of the script');
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    const stat = fstatSync(file);
    if (!stat.isFile()) return err('is not a regular file');
    if ((stat.mode & WRITABLE_BY_OTHERS) !== 0) return err('can be written by everybody: chmod o-w it');
    if (stat.size > MAX_FILE_BYTES) return err(`is larger than ${MAX_FILE_BYTES} bytes`);
    const bytes = readFileSync(file);
    if (bytes.length > MAX_FILE_BYTES) return err(`is larger than ${MAX_FILE_BYTES} bytes`);
    return ok(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') return err('does not exist');
    return err(code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'is not UTF-8' : `cannot be read (${code})`);
  } finally {
    if (file !== null) closeSync(file);
  }
}

/** How far a reader of the spool has come, in a file of its own (shell). Lost, it costs a repetition, never an event. */
import { hash } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../../core/errors.js';
import type { Bookmark } from '../store.js';

/** The bookmark of the reader `name` in `dir`. Names are anybody's: the file's is their hash. */
export function openBookmark(dir: string, name: string): Bookmark {
  const path = join(dir, hash('sha256', name, 'hex').slice(0, 32));
  return {
    load: async () => {
      try {
        return (await readFile(path, 'utf8')).trim() || null;
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return null;
        throw error;
      }
    },
    save: async id => {
      await writeFile(`${path}.new`, `${id}\n`, { mode: 0o600 });
      await rename(`${path}.new`, path);
    },
  };
}

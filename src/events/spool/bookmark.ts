/** How far a reader of the spool has come, in a file of its own (shell). Lost, it costs a repetition, never an event. */
import { hash } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../../core/errors.js';
import type { Bookmark, Mark } from '../store.js';

/** The bookmark of the reader `name` in `dir`. Names are anybody's: the file's is their hash. */
export function openBookmark(dir: string, name: string): Bookmark {
  const path = join(dir, hash('sha256', name, 'hex').slice(0, 32));
  return {
    load: async () => {
      try {
        return parseMark(await readFile(path, 'utf8'));
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return null;
        throw error;
      }
    },
    save: async ({ from, count }) => {
      const text = count === null ? from : `${from} ${count}`;
      await writeFile(`${path}.new`, `${text}\n`, { mode: 0o600 });
      await rename(`${path}.new`, path);
    },
  };
}

/** `FROM COUNT`, or `FROM` alone. */
function parseMark(text: string): Mark | null {
  const [from = '', count = ''] = text.trim().split(' ');
  if (from === '') return null;
  return { from, count: /^\d{1,15}$/.test(count) ? Number(count) : null };
}

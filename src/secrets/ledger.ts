/**
 * The ledger of placeholders: for which run, sandbox and secret each was made. Names only, and the key that turns a
 * placeholder back into them.
 *
 * A shell: two files of mode 0600 in a folder of mode 0700. The key is made once and never replaced.
 */
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  linkSync,
  mkdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { errorCode, GatewayError } from '../core/errors.js';
import { emitLedgerLine, type PlaceholderOwner, parseLedger, whose } from './placeholder.js';

const KEY_BYTES = 32;

export class Ledger {
  /** What placeholders are made with. */
  readonly key: Uint8Array;
  readonly #file: string;
  /** Lines of this process: none is written twice. */
  readonly #written = new Set<string>();

  private constructor(key: Uint8Array, file: string) {
    this.key = key;
    this.#file = file;
  }

  /** Opens the ledger in `dir`, or begins it there. Throws `GatewayError` CONFIG_INVALID. */
  static open(dir: string): Ledger {
    return attempt(dir, () => {
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      return new Ledger(keyIn(dir), join(dir, 'ledger'));
    });
  }

  /** Null: there is none in `dir`. Throws `GatewayError` CONFIG_INVALID where it cannot be read. */
  static find(dir: string): Ledger | null {
    return attempt(dir, () => {
      const key = join(dir, 'key');
      return exists(key) ? new Ledger(readKey(key), join(dir, 'ledger')) : null;
    });
  }

  /** Whole lines, each in one write: runs may write at the same time. */
  record(owners: readonly PlaceholderOwner[]): void {
    const lines = owners.map(emitLedgerLine).filter(line => !this.#written.has(line));
    if (lines.length === 0) return;
    attempt(this.#file, () => appendFileSync(this.#file, `${lines.join('\n')}\n`, { mode: 0o600 }));
    for (const line of lines) this.#written.add(line);
  }

  /** For whom it was made; null: with another key, or by a run that is not in the ledger. */
  whose(placeholder: string): PlaceholderOwner | null {
    return attempt(this.#file, () => {
      const text = exists(this.#file) ? readFileSync(this.#file, 'utf8') : '';
      return whose(placeholder, this.key, parseLedger(text));
    });
  }
}

/** However many processes begin at once, all get one key. */
function keyIn(dir: string): Uint8Array {
  const path = join(dir, 'key');
  if (!exists(path)) {
    const draft = join(dir, `key.${process.pid}.${randomBytes(6).toString('hex')}`);
    writeFileSync(draft, randomBytes(KEY_BYTES), { mode: 0o600, flag: 'wx' });
    try {
      linkSync(draft, path);
    } catch (error) {
      // Somebody was faster: theirs is the key.
      if (errorCode(error) !== 'EEXIST') throw error;
    } finally {
      unlinkSync(draft);
    }
  }
  return readKey(path);
}

function readKey(path: string): Uint8Array {
  if ((statSync(path).mode & 0o077) !== 0) {
    throw new GatewayError('CONFIG_INVALID', `${path} can be read by others: chmod 600 ${path}`);
  }
  const key = readFileSync(path);
  if (key.length !== KEY_BYTES) {
    throw new GatewayError('CONFIG_INVALID', `${path} is not a key of ${KEY_BYTES} bytes`);
  }
  return key;
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function attempt<T>(path: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    const message = `the ledger of placeholders ${path} cannot be used (${errorCode(error)})`;
    throw new GatewayError('CONFIG_INVALID', message, { cause: error });
  }
}

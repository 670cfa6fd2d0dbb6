/** Where a report goes: standard output or a file, at the pace of who reads it (shell). */
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { errorCode, GatewayError } from '../../core/errors.js';

export interface Paper {
  /** Resolves when there is room for more, so that a long report stays out of memory. */
  write(text: string): Promise<void>;
  /** Everything is written. Throws `EVENTS_FAILED`. */
  close(): Promise<void>;
  /** ANSI colours may be used. */
  readonly colour: boolean;
  /** Columns of the terminal; null where it is none. */
  readonly width: number | null;
}

export function standardOutput(): Paper {
  const { stdout } = process;
  return {
    write: async text => {
      if (!stdout.write(text)) await once(stdout, 'drain');
    },
    close: async () => undefined,
    colour: stdout.isTTY === true && !process.env.NO_COLOR,
    width: stdout.isTTY === true ? stdout.columns : null,
  };
}

/** A file that only its owner reads, made anew. Throws `EVENTS_FAILED`. */
export async function filePaper(path: string): Promise<Paper> {
  const file = createWriteStream(path, { mode: 0o600 });
  const fault = (cause: unknown): GatewayError =>
    new GatewayError('EVENTS_FAILED', `${path}: cannot be written (${errorCode(cause)})`, { cause });
  // Heard by every write below; without a listener of its own it would end the process.
  file.on('error', () => undefined);
  try {
    await once(file, 'open');
  } catch (cause) {
    throw fault(cause);
  }
  return {
    write: async text => {
      if (file.errored !== null) throw fault(file.errored);
      if (!file.write(text)) await once(file, 'drain').catch(cause => Promise.reject(fault(cause)));
    },
    close: () => ended(file).catch(cause => Promise.reject(fault(cause))),
    colour: false,
    width: null,
  };
}

/** `-`, or nothing, is standard output. */
export async function paperFor(path: string | undefined): Promise<Paper> {
  return path === undefined || path === '-' ? standardOutput() : await filePaper(path);
}

async function ended(file: WriteStream): Promise<void> {
  if (file.errored !== null) throw file.errored;
  file.end();
  await once(file, 'finish');
}

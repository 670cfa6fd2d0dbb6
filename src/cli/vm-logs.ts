/** `sallyport vm logs`: what there is on record of a sandbox (shell: standard output). */
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { StringDecoder } from 'node:string_decoder';
import { printable } from '../events/encode.js';
import { consoleFiles } from '../runtime/console-log.js';
import { isLive } from '../runtime/record.js';
import { ErrInvalidConfig } from '../vm/index.js';
import type { Io } from './io.js';
import { logText } from './log-text.js';
import { named, withRuntime } from './vm.js';

export interface LogFlags {
  readonly console: boolean;
  readonly supervisor: boolean;
  readonly tail?: string;
  readonly follow: boolean;
}

export async function runLogs(name: string, flags: LogFlags, io: Io): Promise<number> {
  return await withRuntime(io, async (runtime, homeDir) => {
    const lines = linesOf(flags);
    const sandbox = await named(runtime, name);
    const { backend } = await sandbox.info();
    if (flags.console && backend === 'process')
      throw new ErrInvalidConfig(
        `${name} is a process and has no console; --supervisor shows what its supervisor said`,
      );
    const folder = join(homeDir, 'sandboxes', sandbox.id);
    const isOver = async (): Promise<boolean> => !isLive((await sandbox.info()).state);
    const bytes = logText(filesOf(folder, flags), { lines, isOver: flags.follow ? isOver : null });
    // Of events every line is text that a terminal may be shown; what others said is a stranger's.
    const isForeign = flags.console || flags.supervisor;
    await pipeline(Readable.from(isForeign ? shown(bytes) : bytes), process.stdout, { end: false });
    return 0;
  });
}

function linesOf({ console, supervisor, tail }: LogFlags): number | null {
  if (console && supervisor)
    throw new ErrInvalidConfig('--console and --supervisor are two logs: ask for one');
  if (tail === undefined) return null;
  if (/^\d{1,9}$/.test(tail)) return Number(tail);
  throw new ErrInvalidConfig(`--tail: '${tail}' is not a number of lines`);
}

function filesOf(folder: string, flags: LogFlags): readonly string[] {
  if (flags.console) return consoleFiles(join(folder, 'console.log'));
  return [join(folder, flags.supervisor ? 'supervisor.log' : 'events.jsonl')];
}

/** Colours are left out, and nothing in it is an order to this terminal. */
async function* shown(bytes: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  for await (const chunk of bytes) {
    const text = decoder.write(chunk).replace(/\x1b\[[0-9;?]*[A-Za-z]|\r/g, '');
    yield text.split('\n').map(printable).join('\n');
  }
}

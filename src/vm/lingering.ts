/**
 * A command's output, ended soon after the command: what it left running in the background may hold the pipe open
 * for ever (shell: timers).
 */
import { PassThrough, type Readable } from 'node:stream';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';

/** Silence after the command's end that counts as the end of its output. */
const LINGER_MS = 250;

/**
 * `source` as long as the command runs, and what it wrote until then. Later output is read and thrown away: a full
 * pipe would stop those who still write. A reader that closes the stream closes the pipe.
 */
export function untilExit(source: Readable, exit: Promise<unknown>): Readable {
  const out = new PassThrough();
  let chunks = 0;
  source.on('data', (chunk: Buffer) => {
    chunks += 1;
    if (!out.writableEnded && !out.write(chunk)) source.pause();
  });
  out.on('drain', () => source.resume());
  out.on('close', () => void (out.readableEnded || source.destroy()));
  source.on('end', () => out.end());
  source.on('error', error => out.destroy(error));
  void exit.then(async () => {
    for (let seen = -1; seen !== chunks || out.writableNeedDrain; ) {
      seen = chunks;
      await delay(LINGER_MS);
      // What came while this process was busy is read before it is missed.
      await turn();
      await turn();
    }
    if (!out.writableEnded) out.end();
    source.resume();
  });
  return out;
}

/** A command's output as a whole, bounded. Pure but for the streams. */
import type { Readable } from 'node:stream';
import { GatewayError } from '../core/errors.js';
import type { ExecOptions, ExecResult, Execution } from './backend.js';
import { ErrTimeout } from './errors.js';

const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

/** Reads `execution` to its end. Throws `TIMEOUT` or `LIMIT_EXCEEDED`, the command being killed by then. */
export async function collect(execution: Execution, options: ExecOptions = {}): Promise<ExecResult> {
  const limit = options.maxOutputBytes ?? MAX_OUTPUT_BYTES;
  const overflow = { happened: false };
  const tooMuch = (): void => {
    overflow.happened = true;
    execution.kill('SIGKILL');
  };
  const stdout = gather(execution.stdout, limit, tooMuch);
  const stderr = gather(execution.stderr, limit, tooMuch);
  const exit = await execution.exit;
  await Promise.all([stdout.ended, stderr.ended]);
  if (overflow.happened) {
    throw new GatewayError('LIMIT_EXCEEDED', `the command's output is larger than ${limit} bytes`);
  }
  if (exit.timedOut) {
    throw new ErrTimeout(`the command took longer than ${Math.round(exit.durationMs)} ms and was killed`);
  }
  options.signal?.throwIfAborted();
  return { ...exit, stdout: stdout.text(), stderr: stderr.text() };
}

interface Gathered {
  /** The stream's end or failure. */
  readonly ended: Promise<void>;
  text(): string;
}

function gather(stream: Readable, limit: number, tooMuch: () => void): Gathered {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Read to the end in any case: a pipe that nobody reads stops whoever writes.
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= limit) chunks.push(chunk);
    else tooMuch();
  });
  const ended = new Promise<void>(resolve => stream.once('close', resolve).once('error', resolve));
  return { ended, text: () => Buffer.concat(chunks).toString('utf8') };
}

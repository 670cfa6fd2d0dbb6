/** The process of a supervisor (shell): its orders come on standard input, its one line goes to standard output. */
import { createInterface } from 'node:readline';
import { boundPauses } from './collector.js';
import { parseLaunch } from './launch.js';
import { Supervisor } from './supervisor.js';
import { emitError } from './wire.js';

const GRACE_MS = 2_000;

async function main(): Promise<void> {
  boundPauses();
  // Without a listener of ours, this signal makes Node open its inspector, and with it the memory and every value.
  process.on('SIGUSR1', () => undefined);
  process.stdout.on('error', () => undefined);
  const lines = createInterface({ input: process.stdin });
  const order = await new Promise<string>(resolve => lines.once('line', resolve));
  const launch = parseLaunch(order);
  const gone = new Promise<void>(resolve => lines.once('close', () => resolve()));
  let supervisor: Supervisor;
  try {
    supervisor = await Supervisor.start(launch);
  } catch (error) {
    process.stdout.write(`${emitError(error)}\n`);
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exitCode = 1;
    lines.close();
    return;
  }
  process.stdout.write('ok\n');
  const stop = (): void => void supervisor.stop(GRACE_MS);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop);
  // Whoever started it is gone, and wanted it to go along.
  if (!launch.detach) void gone.then(stop);
  await supervisor.ended();
  lines.close();
  process.stdin.destroy();
}

await main();
// A caller that never reads its stream to the end must not keep what has ended.
process.exit();

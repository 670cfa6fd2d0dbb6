#!/usr/bin/env node
/** The process: its arguments, its streams and its exit code (shell). */
import { CommanderError } from 'commander';
import { boundPauses } from '../runtime/collector.js';
import { EXIT_OWN_FAILURE, EXIT_USAGE, processIo } from './io.js';
import { program } from './program.js';

async function main(): Promise<void> {
  boundPauses();
  const io = processIo();
  // A reader that has seen enough (`| head`) is no error.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) =>
      process.exit(error.code === 'EPIPE' ? 0 : EXIT_OWN_FAILURE),
    );
  }
  // Without a listener of ours, this signal makes Node open its inspector, and with it the memory and every value.
  process.on('SIGUSR1', () => undefined);
  const isRun = process.argv[2] === 'run';
  try {
    await program(io, code => {
      process.exitCode = code;
    }).parseAsync();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help and version are no failure; every other exit of the parser is bad usage.
    process.exitCode = error.exitCode === 0 ? 0 : isRun ? EXIT_OWN_FAILURE : EXIT_USAGE;
  }
}

await main();

/** `sallyport events ...`: flags to functions, for what is done with recorded events. */
import type { Command } from 'commander';
import { addReadingCommands } from './events/commands.js';
import type { Io } from './io.js';

export function addEventCommands(sallyport: Command, io: Io, exit: (code: number) => void): void {
  const events = sallyport.command('events').description('what was recorded: its form, and what it says');
  events
    .command('schema')
    .description('print the JSON Schema of one event')
    .action(async () => {
      const { runEventsSchema } = await import('./events.js');
      exit(runEventsSchema(io));
    });
  events
    .command('verify')
    .description('find every cut, edit and reorder in a spool, and say where')
    .argument('<dir>', 'the folder of `sallyport run --spool`')
    .option('--key <key>', 'the public key that must have signed it (default: that of this machine)')
    .option('--expect <head>', 'a head that an earlier run printed: it must still be there')
    .option('--json', 'the findings as JSON', false)
    .addHelpText('after', '\nExit code: 0 whole, 1 something was changed, 2 it cannot be judged.')
    .action(async (dir: string, flags) => {
      const { runEventsVerify } = await import('./spool.js');
      exit(await runEventsVerify(dir, flags, io));
    });
  addReadingCommands(events, io, exit);
}

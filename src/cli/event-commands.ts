/** `sallyport events ...`: flags to functions, for what is done with recorded events. */
import type { Command } from 'commander';
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
}

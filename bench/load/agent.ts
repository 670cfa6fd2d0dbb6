/**
 * The load generator: takes commands on standard input, one a line, and reports on standard output. For a gateway it
 * runs inside the sandbox, where a program of the user's would.
 */
import { createInterface } from 'node:readline';
import type { Command, Report } from './command.js';
import { perform } from './works.js';

function report(value: Report): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

report({ event: 'ready' });
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const { route, work } = JSON.parse(line) as Command;
    const outcome = await perform(work, route, () => report({ event: 'begin' }));
    report({ event: 'end', outcome });
  } catch (error) {
    report({
      event: 'failed',
      message: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
  }
}
process.exit(0);

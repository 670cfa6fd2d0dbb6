/** `sallyport events tail|export|stats|replay|suggest`: flags to functions, for what reads a log. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { version } from '../../api/version.js';
import type { Io } from '../io.js';
import { withPolicyFlags } from '../policy-flags.js';

const LOG = 'what `sallyport run --event-log` wrote, or the folder of a spool';

const CHOICES = ['newly-allowed', 'newly-denied', 'secret-reach'] as const;
type Choice = (typeof CHOICES)[number];

const CODES =
  'Exit code: 0 done, 2 the log cannot be read, 3 done, but some lines hold no event, 130 interrupted.';

type Exit = (code: number) => void;

export function addReadingCommands(events: Command, io: Io, exit: Exit): void {
  addTail(events, io, exit);
  addExport(events, io, exit);
  addStats(events, io, exit);
  addReplay(events, io, exit);
  addSuggest(events, io, exit);
}

function addTail(events: Command, io: Io, exit: Exit): void {
  events
    .command('tail')
    .description('show events as a table: the last 20, or what the flags say')
    .argument('<log>', LOG)
    .option('--sandbox <id>', 'of this sandbox only')
    .option('--host <pattern>', 'about this host only: example.com, *.example.com, an address')
    .option('--denied', 'what was refused, would have been (mode: shadow), leaked or was lost', false)
    .option('--filter <expression>', 'what an expression of CEL says, such as network.status_code >= 500')
    .option('--follow', 'go on with what is written from now on', false)
    .option('--json', 'JSON lines, all of them', false)
    .option('--from <seq>', 'from this seq on, or (an id) what comes after this event')
    .option('-n, --lines <number>', 'how many of the last, or all')
    .addHelpText(
      'after',
      `\nExamples:\n  sallyport events tail --follow --denied events.jsonl\n  sallyport events tail --host '*.example.com' --filter 'network.duration_ms > 1000.0' events.jsonl\n\n${CODES}`,
    )
    .action(async (path: string, flags) => {
      const { runTail } = await import('./tail.js');
      exit(await runTail(path, flags, io));
    });
}

function addExport(events: Command, io: Io, exit: Exit): void {
  events
    .command('export')
    .description('write a log in a form that other programs read')
    .argument('<log>', LOG)
    .option('--har', 'HTTP Archive 1.2: requests, for developer tools of browsers', false)
    .option('--ocsf', 'Open Cybersecurity Schema Framework 1.3, one JSON line each', false)
    .option('--csv', 'comma-separated values, one row each', false)
    .option('-o, --output <file>', 'instead of standard output; made anew, for its owner alone')
    .addHelpText('after', `\nExample:\n  sallyport events export --har -o run.har events.jsonl\n\n${CODES}`)
    .action(async (path: string, flags) => {
      const { runExport } = await import('./export.js');
      exit(await runExport(path, flags, version(), io));
    });
}

function addStats(events: Command, io: Io, exit: Exit): void {
  events
    .command('stats')
    .description('count by host, rule, reason and sandbox, with p50 and p99 of requests')
    .argument('<log>', LOG)
    .option('--json', 'everything, as one JSON value', false)
    .addHelpText('after', `\nExample:\n  sallyport events stats events.jsonl\n\n${CODES}`)
    .action(async (path: string, flags) => {
      const { runStats } = await import('./stats.js');
      exit(await runStats(path, flags, io));
    });
}

function addReplay(events: Command, io: Io, exit: Exit): void {
  withPolicyFlags(events.command('replay'))
    .description('run recorded events against a candidate policy: what would come out otherwise')
    .argument('<log>', LOG)
    .addOption(
      new Option(
        '--fail-on <what>',
        `exit 1 if there is any of ${CHOICES.join(', ')}; may be repeated`,
      ).argParser(collectChoice),
    )
    .option('--json', 'everything, as one JSON value', false)
    .addHelpText(
      'after',
      `\nExample:\n  sallyport events replay --policy new.yaml --fail-on newly-allowed events.jsonl\n\nExit code: 0 compared, 1 something that --fail-on names, 2 the policy or the log cannot be read, 3 compared,\nbut some lines hold no event, 130 interrupted.`,
    )
    .action(async (path: string, flags) => {
      const { runReplay } = await import('./replay.js');
      exit(await runReplay(path, flags, io));
    });
}

function collectChoice(value: string, before: readonly Choice[] = []): readonly Choice[] {
  const choice = CHOICES.find(each => each === value);
  if (choice === undefined) throw new InvalidArgumentError(`Allowed choices are ${CHOICES.join(', ')}.`);
  return [...before, choice];
}

function addSuggest(events: Command, io: Io, exit: Exit): void {
  events
    .command('suggest')
    .description('print the smallest policy that allows what a recorded run did, with methods and paths')
    .argument('<log>', LOG)
    .option('-o, --output <file>', 'instead of standard output; made anew, for its owner alone')
    .addHelpText(
      'after',
      `\nExample:\n  sallyport events suggest -o policy.yaml events.jsonl && sallyport check policy.yaml\n\n${CODES}`,
    )
    .action(async (path: string, flags) => {
      const { runSuggest } = await import('./suggest.js');
      exit(await runSuggest(path, flags, io));
    });
}

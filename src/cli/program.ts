/** The command line: flags to functions, and nothing else. Each command's code is loaded when it is asked for. */
import { Command, Option } from 'commander';
import { version } from '../api/version.js';
import { addEventCommands } from './event-commands.js';
import { addImageCommands } from './image-commands.js';
import type { Io } from './io.js';
import { withMachineFlags } from './machine-flags.js';
import { collect, withPolicyFlags } from './policy-flags.js';
import { addVmCommands } from './vm-commands.js';

const RUN_HELP = `
Examples:
  sallyport run --allow api.github.com --secret GITHUB_TOKEN@api.github.com -- \\
    sh -c 'curl -H "Authorization: Bearer $GITHUB_TOKEN" https://api.github.com/user'
  sallyport run --policy balanced --event-log events.jsonl -- npm ci
  sallyport run --allow db.example.com:5432 -- psql -h db.example.com

A value in --secret NAME=VALUE@HOST stands in the arguments of sallyport, where every user of the machine can read it; the
sandbox cannot. Keep values in the environment, or name a source in a policy file.

Exit code: the command's own; 128+n when signal n ended it; 124 when a leak stopped the sandbox (on_leak); 125 when
sallyport itself failed (a bad flag, an invalid policy, a missing program); 126 when the command cannot be run; 127 when
there is no such command.`;

/** Builds the program; the actions write to `io` and give their exit code to `exit`. */
export function program(io: Io, exit: (code: number) => void): Command {
  const sallyport = new Command('sallyport')
    .description('Run code that you do not trust behind a gateway that enforces a policy.')
    .version(version())
    .showHelpAfterError('(see --help)')
    .configureOutput({ writeOut: io.stdout, writeErr: io.stderr })
    .enablePositionalOptions()
    .exitOverride();
  addRun(sallyport, io, exit);
  addDemo(sallyport, io, exit);
  addPolicyCommands(sallyport, io, exit);
  addScriptCommands(sallyport, io, exit);
  addSecretCommands(sallyport, io, exit);
  addEventCommands(sallyport, io, exit);
  addMachineCommands(sallyport, io, exit);
  addImageCommands(sallyport, io, exit);
  addVmCommands(sallyport, io, exit);
  return sallyport;
}

function addRun(sallyport: Command, io: Io, exit: (code: number) => void): void {
  const run = withPolicyFlags(sallyport.command('run'))
    .description('run a command in a sandbox whose only way to the network is the gateway')
    .argument('[command...]', 'the command and its arguments, after -- (default: that of the image)')
    .passThroughOptions()
    .option('--upstream-ca <file>', 'PEM roots to trust beside the system’s, for upstreams', collect)
    .option('--script <file>', 'a policy script (.js or .ts) that is asked after the rules')
    .option('--event-log <file>', 'write every event as a JSON line; - is standard output')
    .option('--events <file>', 'sinks for events: webhooks, rotated files and others, each with its filter')
    .option('--event-sink <url>', 'one more sink, by its URL; may be repeated', collect)
    .option('--metrics <place>', 'metrics for Prometheus at unix:PATH or 127.0.0.1:PORT')
    .option('--spool <dir>', 'keep every event there, chained and signed (events verify)')
    .addOption(
      new Option('--spool-fsync <when>', 'when an event of the spool is safe from a loss of power').choices([
        'always',
        'interval',
        'none',
      ]),
    )
    .option('--spool-keep <size>', 'remove the oldest of the spool beyond this (default: 10GiB)')
    .option('--spool-keep-days <days>', 'remove what is older (default: nothing)')
    .addOption(
      new Option(
        '--spool-full <what>',
        'on a full disk, refuse requests that would carry a secret, or let them pass and count what is lost',
      ).choices(['block', 'drop-and-mark']),
    )
    .option('--quiet', 'no line for each refusal, no summary', false)
    .option('--workdir <dir>', 'writable, and where the command starts (default: the current folder)')
    .option('--bind <path[:path]>', 'a file or folder that the command may write', collect)
    .option('--ro-bind <path[:path]>', 'a file or folder that the command may read', collect)
    .option('--no-fs-isolation', 'give the command the file system as it is; the network stays closed')
    .option('--env <name[=value]>', 'set a variable, or keep one with --clear-env', collect)
    .option('--clear-env', 'keep only PATH, HOME, TERM, locale and what --env names', false);
  withMachineFlags(run)
    .addHelpText('after', RUN_HELP)
    .action(async (argv: string[], flags, command: Command) => {
      if (argv.length === 0 && !flags.vm && flags.image === undefined)
        command.error("error: missing required argument 'command'");
      const { runRun } = await import('./run.js');
      exit(await runRun(flags, argv, io));
    });
}

function addDemo(sallyport: Command, io: Io, exit: (code: number) => void): void {
  sallyport
    .command('demo')
    .description(
      'five outcomes in ten seconds, without the internet: real curl, a real sandbox, an upstream on loopback',
    )
    .action(async () => {
      const { runDemo } = await import('./demo.js');
      exit(await runDemo(io));
    });
}

function addPolicyCommands(sallyport: Command, io: Io, exit: (code: number) => void): void {
  sallyport
    .command('check')
    .description('read a policy, list every problem with its line, and run its examples')
    .argument('<file>', 'a policy file, or strict, balanced, open')
    .addHelpText(
      'after',
      '\nExample:\n  sallyport check policy.yaml\n\nExit code: 0 good, 1 an example failed, 2 invalid.',
    )
    .action(async (file: string) => {
      const { runCheck } = await import('./check.js');
      exit(await runCheck(file, io));
    });
  withPolicyFlags(sallyport.command('explain'))
    .description('print the verdict on a URL or HOST[:PORT], the rule behind it, and why')
    .argument('<subject>', 'a URL, or HOST[:PORT]')
    .addOption(new Option('--method <method>', 'the method of the request').default('GET'))
    .option('--resolves-to <ip>', 'what the name is taken to resolve to; nothing is looked up', collect)
    .option('--json', 'each question and verdict as JSON', false)
    .addHelpText(
      'after',
      '\nExample:\n  sallyport explain --policy balanced https://api.github.com/user\n\nExit code: 0 allowed, 1 refused, 2 invalid.',
    )
    .action(async (subject: string, flags) => {
      const { runExplain } = await import('./explain.js');
      exit(await runExplain({ ...flags, subject }, io));
    });
}

function addSecretCommands(sallyport: Command, io: Io, exit: (code: number) => void): void {
  sallyport
    .command('secrets')
    .description('what this machine knows of placeholders')
    .command('whose')
    .description('for which run, sandbox and secret a placeholder was made, offline')
    .argument('<placeholder>', 'GWPH_ and 32 hexadecimal digits')
    .addHelpText(
      'after',
      '\nExit code: 0 it is told, 1 no run of this state folder made it, 2 no placeholder.',
    )
    .action(async (placeholder: string) => {
      const { runWhose } = await import('./secrets.js');
      exit(runWhose(placeholder, io));
    });
}

function addScriptCommands(sallyport: Command, io: Io, exit: (code: number) => void): void {
  const script = sallyport.command('script').description('try a policy script before it decides anything');
  script
    .command('test')
    .description('run the examples beside a policy script: NAME.test.js, or every *.test.js in its folder')
    .argument('<policy.js>', 'the script')
    .addHelpText('after', '\nExit code: 0 all as expected, 1 some are not, 2 something does not load.')
    .action(async (path: string) => {
      const { runScriptTest } = await import('./script.js');
      exit(await runScriptTest(path, io));
    });
  script
    .command('run')
    .description('replay a recorded event log and print what the script would change')
    .argument('<policy.js>', 'the script')
    .requiredOption('--event-log <file>', 'what `sallyport run --event-log` wrote')
    .action(async (path: string, { eventLog }: { eventLog: string }) => {
      const { runScriptReplay } = await import('./script.js');
      exit(await runScriptReplay(path, eventLog, io));
    });
}

function addMachineCommands(sallyport: Command, io: Io, exit: (code: number) => void): void {
  sallyport
    .command('doctor')
    .description('what this machine has of what a sandbox needs, and the one command that mends it')
    .action(async () => {
      const { runDoctor } = await import('./doctor.js');
      exit(await runDoctor(io));
    });
  sallyport
    .command('setup')
    .description('install the programs that a sandbox needs, by the package manager of this machine')
    .option('--dry-run', 'print the commands, run none', false)
    .option('--yes', 'do not ask', false)
    .action(async flags => {
      const { runSetup } = await import('./setup.js');
      exit(await runSetup(flags, io));
    });
}

/** `sallyport vm …`: flags to functions. */
import { type Command, Option } from 'commander';
import type { Io } from './io.js';
import { collect, withPolicyFlags } from './policy-flags.js';

const VM_HELP = `
A sandbox that is started here lives on until it is stopped; every terminal of its owner can use it.

Example:
  sallyport vm create box --allow api.github.com --secret GITHUB_TOKEN@api.github.com
  sallyport vm start box
  sallyport vm exec box -- sh -c 'curl -H "Authorization: Bearer $GITHUB_TOKEN" https://api.github.com/user'
  sallyport vm cp box:/workspace/out.json .
  sallyport vm stop box && sallyport vm rm box

Exit code: 0 done, 1 it could not be done, 2 bad usage or an invalid configuration; of exec, the command's own, 128+n
when signal n ended it, 124 when its time was over, 125 when sallyport failed, 126 and 127 when it cannot be run.`;

const CREATE_HELP = `
--config reads the fields of docs/reference/sandbox-api.md, in JSON or YAML; flags go on top. A secret's value is read
from the environment, or where the policy says, by each start: --secret NAME=VALUE@HOST is refused here, because a
sandbox is written down and a value must not be.

Examples:
  sallyport vm create box --policy balanced --mount ./src:src:ro
  sallyport vm create box --backend qemu --image alpine:3.20 --cpus 2 --memory 1024 --persist`;

const EXEC_HELP = `
Examples:
  sallyport vm exec box -- make test
  sallyport vm exec -it box -- bash
  tar c . | sallyport vm exec -i box -- tar x`;

const CP_HELP = `
One of the two is NAME:/PATH, the other a file of the host, or - for standard input or output. A folder is sent as a tar:
  tar c src | sallyport vm exec -i box -- tar x

Examples:
  sallyport vm cp notes.txt box:/workspace/notes.txt
  sallyport vm cp box:/workspace/report.json -`;

export function addVmCommands(sallyport: Command, io: Io, exit: (code: number) => void): void {
  const vm = sallyport
    .command('vm')
    .description('sandboxes that stay: make, start, use, stop and remove them')
    .addHelpText('after', VM_HELP);
  const load = () => import('./vm.js');
  addCreate(vm, io, exit);
  vm.command('start')
    .description('start it; it runs until it is stopped')
    .argument('<name>', 'a name or an id')
    .action(async (name: string) => exit(await (await load()).runStart(name, io)));
  vm.command('ls')
    .description('the sandboxes that there are')
    .option('--json', 'one JSON object a line', false)
    .action(async flags => exit(await (await load()).runList(flags, io)));
  vm.command('info')
    .description('what is known of one, as JSON; values of secrets are nowhere in it')
    .argument('<name>')
    .action(async (name: string) => exit(await (await load()).runInfo(name, io)));
  addExec(vm, io, exit);
  vm.command('cp')
    .description('copy one file in or out')
    .argument('<from>')
    .argument('<to>')
    .addHelpText('after', CP_HELP)
    .action(async (from: string, to: string) => exit(await (await load()).runCopy(from, to, io)));
  vm.command('logs')
    .description('its events as JSON lines, or with --console what the machine wrote on its console')
    .argument('<name>')
    .option(
      '--console',
      'the guest’s console in place of the events (qemu); the last two MiB are kept',
      false,
    )
    .option('--supervisor', 'what its supervisor said in place of the events', false)
    .option('--tail <lines>', 'only the last so many lines')
    .option('-f, --follow', 'go on until the sandbox ends', false)
    .action(async (name: string, flags) => {
      const { runLogs } = await import('./vm-logs.js');
      exit(await runLogs(name, flags, io));
    });
  vm.command('stop')
    .description('end it; what it does not keep with --persist is gone')
    .argument('<name>')
    .option('--grace <seconds>', 'for its commands to end in order, before they are killed', '0')
    .option('--force', 'kill its supervisor too, if that does not answer', false)
    .action(async (name: string, flags) => exit(await (await load()).runStop(name, flags, io)));
  vm.command('rm')
    .description('remove it, and all that it kept')
    .argument('<name...>')
    .option('--force', 'stop it first', false)
    .action(async (names: string[], flags) => exit(await (await load()).runRemove(names, flags, io)));
}

function addCreate(vm: Command, io: Io, exit: (code: number) => void): void {
  withPolicyFlags(vm.command('create'))
    .description('make a sandbox, and print its id; nothing runs yet')
    .argument('[name]', 'default: its id')
    .option(
      '--backend <name>',
      'the kind of machine: process, which runs this host’s programs, or qemu',
      'process',
    )
    .option('--config <file>', 'a configuration in JSON or YAML')
    .option('--image <name>', 'what it boots (qemu); pulled where it is not here')
    .option('--registry <host>', 'where an image without a registry in its name is pulled from', collect)
    .addOption(
      new Option('--pull <when>', 'ask registries for an image that is not here').choices([
        'missing',
        'never',
      ]),
    )
    .option('--cpus <n>', 'processors (qemu)')
    .option('--memory <mib>', 'memory (qemu)')
    .option('--persist', 'changes of its root outlive a stop', false)
    .addOption(
      new Option('--network <mode>', 'its way to the network').choices(['nat', 'disabled', 'bridged']),
    )
    .option(
      '--bridge <name[,address/length[,router]]>',
      'with --network bridged, as root: a bridge of this machine; past the gateway, so no policy holds there',
    )
    .option('--mount <host:guest[:ro]>', 'a folder or file of the host, in the workspace', collect)
    .option('--env <name=value>', 'a variable of its commands; never the value of a secret', collect)
    .option('--workdir <dir>', 'where its commands begin (default: /workspace)')
    .option('--upstream-ca <file>', 'PEM roots to trust beside the system’s, for upstreams', collect)
    .addHelpText('after', CREATE_HELP)
    .action(async (name: string | undefined, flags) => {
      const { runCreate } = await import('./vm-create.js');
      exit(await runCreate(name, flags, io));
    });
}

function addExec(vm: Command, io: Io, exit: (code: number) => void): void {
  vm.command('exec')
    .description('run a command in one that runs')
    .argument('<name>')
    .argument('<command...>', 'the command and its arguments, after --')
    .passThroughOptions()
    .option('-i, --interactive', 'pass on standard input', false)
    .option('-t, --tty', 'on a terminal of its own', false)
    .option('--env <name=value>', 'a variable', collect)
    .option('--user <user>', 'as this user of the sandbox')
    .option('--workdir <dir>', 'where it begins')
    .option('--timeout <seconds>', 'then it is killed (default: 300; 0: never)')
    .addHelpText('after', EXEC_HELP)
    .action(async (name: string, given: [string, ...string[]], flags) => {
      // What follows the name is passed on as it is, the `--` before the command among it.
      const [first, ...rest] = given;
      const [command = '', ...args] = first === '--' ? rest : given;
      const { runExec } = await import('./vm-exec.js');
      exit(await runExec(name, [command, ...args], flags, io));
    });
}

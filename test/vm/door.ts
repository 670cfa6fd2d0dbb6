/** A real door with a real command behind it, for tests. */
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import {
  ANY_PORT,
  openVestibule,
  type Vestibule,
  type VestibuleOptions,
} from '../../src/net/vestibule/index.js';
import { type CommandExit, type CommandSpec, startCommand } from '../../src/vm/index.js';

export function openDoor(options: Partial<VestibuleOptions> = {}): Promise<Vestibule> {
  return openVestibule({
    sandbox: 'test',
    allowedPorts: ANY_PORT,
    nameOf: () => null,
    onFlow: flow => flow.refuse(),
    onDnsTcp: flow => flow.refuse(),
    onDnsUdp: () => {},
    ...options,
  });
}

/** A command that sees nothing of the repository but Node, wherever that is installed. */
export function specOf(
  argv: readonly [string, ...string[]],
  overrides: Partial<CommandSpec> = {},
): CommandSpec {
  const node = dirname(dirname(process.execPath));
  const binds = node === '/usr' ? [] : [{ source: node, target: node, writable: false }];
  return {
    argv,
    env: new Map([
      ['PATH', `${dirname(process.execPath)}:/usr/bin:/bin`],
      ['HOME', '/home/sandbox'],
    ]),
    workdir: '/',
    binds,
    noFsIsolation: false,
    hide: [],
    files: [],
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    ...overrides,
  };
}

export interface Ran extends CommandExit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. */
export async function run(
  door: Vestibule,
  argv: readonly [string, ...string[]],
  overrides: Partial<CommandSpec> = {},
): Promise<Ran> {
  const command = await startCommand(door.cell, specOf(argv, overrides));
  const [stdout, stderr, exit] = await Promise.all([
    command.stdout === null ? '' : text(command.stdout),
    command.stderr === null ? '' : text(command.stderr),
    command.exit,
  ]);
  return { ...exit, stdout, stderr };
}

export const sh = (script: string): readonly [string, ...string[]] => ['sh', '-c', script];

/** Runs a script of Node in the sandbox and reads the JSON that it prints. */
export async function ask(door: Vestibule, script: string): Promise<unknown> {
  const { stdout, stderr, code } = await run(door, [process.execPath, '-e', script]);
  if (code !== 0) throw new Error(`the probe ended with ${code}: ${stderr}`);
  return JSON.parse(stdout);
}

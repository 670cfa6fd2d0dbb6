/** `sallyport setup`: installs the programs that the inner door stands on (shell: runs the package manager). */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline/promises';
import {
  findPackageManager,
  findProgram,
  SYSTEM_PATH,
  setupCommands,
  TOOL_NAMES,
} from '../net/vestibule/index.js';
import type { Io } from './io.js';

export interface SetupOptions {
  /** Print the commands, run none. */
  readonly dryRun: boolean;
  /** Do not ask. */
  readonly yes: boolean;
}

/** Resolves to the exit code: 0, or 1 where something could not be installed. */
export async function runSetup(options: SetupOptions, io: Io): Promise<number> {
  const missing = TOOL_NAMES.filter(tool => findProgram(tool) === null);
  if (missing.length === 0) {
    io.stdout('nothing to install: every program is here\n');
    return 0;
  }
  const manager = findPackageManager();
  if (manager === null) {
    io.stderr(`no package manager that I know; install these yourself: ${missing.join(', ')}\n`);
    return 1;
  }
  const commands = setupCommands(manager, missing, { isRoot: process.getuid?.() === 0 });
  io.stdout(`missing: ${missing.join(', ')}\n${commands.map(words => `  ${words.join(' ')}\n`).join('')}`);
  if (options.dryRun) return 0;
  if (!options.yes && !(await confirmed())) return 1;
  for (const words of commands) {
    if ((await runProgram(words)) !== 0) {
      io.stderr(`failed: ${words.join(' ')}\n`);
      return 1;
    }
  }
  return 0;
}

async function confirmed(): Promise<boolean> {
  if (!process.stdin.isTTY) return false; // nobody is there to say yes
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question('Run it? [y/N] ')).trim());
  } finally {
    terminal.close();
  }
}

function runProgram([program = '', ...args]: readonly string[]): Promise<number> {
  const env = { ...process.env, PATH: SYSTEM_PATH, DEBIAN_FRONTEND: 'noninteractive' };
  return new Promise(resolve => {
    spawn(program, args, { stdio: 'inherit', env })
      .once('error', () => resolve(127))
      .once('close', code => resolve(code ?? 1));
  });
}

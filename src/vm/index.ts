/** The sandbox core's public face: start commands in a cell (shell). */
import { GatewayError } from '../core/errors.js';
import type { Cell } from '../net/vestibule/index.js';
import type { CommandSpec, RunningCommand } from './command.js';

export type { Bind, CommandExit, CommandSpec, DataFile, RunningCommand, Stdio } from './command.js';

/**
 * Starts a command under bubblewrap in `cell`. Throws `COMMAND_NOT_FOUND` or `COMMAND_NOT_EXECUTABLE` before
 * anything runs. May be called many times for one cell.
 */
export async function startCommand(cell: Cell, spec: CommandSpec): Promise<RunningCommand> {
  throw new GatewayError('COMMAND_NOT_FOUND', `${spec.argv[0]} cannot run in ${cell.pid} yet`);
}

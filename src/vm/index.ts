/** The sandbox core's public face. */
export type { Bind, CommandExit, CommandSpec, DataFile, RunningCommand, Stdio } from './command.js';
export { startCommand } from './process/command.js';
export { type Trust, trustFor } from './trust.js';

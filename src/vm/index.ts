/** The sandbox core's public face. */
export type { Bind, CommandExit, CommandSpec, DataFile, RunningCommand, Stdio } from './command.js';
export { startCommand } from './process/command.js';
export { trustFor } from './trust/host-trust.js';
export type { Trust } from './trust/trust.js';

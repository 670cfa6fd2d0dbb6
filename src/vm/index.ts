/** The sandbox core's public face. */
export type {
  Backend,
  ExecExit,
  ExecOptions,
  ExecResult,
  Execution,
  FileContent,
  FileInfo,
  FileKind,
  InteractiveExecution,
  InteractiveOptions,
  Machine,
  MachineDoor,
  MachineExit,
  StopOptions,
  VMConfig,
  WriteOptions,
} from './backend.js';
export type { Bind, CommandExit, CommandSpec, DataFile, RunningCommand, Stdio } from './command.js';
export * from './config.js';
export * from './errors.js';
export { startCommand } from './process/command.js';
export { trustFor } from './trust/host-trust.js';
export type { Trust } from './trust/trust.js';

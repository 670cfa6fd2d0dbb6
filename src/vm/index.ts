/** The sandbox core's public face. */
export type {
  Backend,
  BridgedLink,
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
export { collect } from './collect.js';
export type { Bind, CommandExit, CommandSpec, DataFile, Limits, RunningCommand, Stdio } from './command.js';
export * from './config.js';
export * from './errors.js';
export { createExecFiles, type ExecFiles } from './exec-files.js';
export { matchPaths } from './glob.js';
export { composeCommand, shellQuoteArgs } from './guest-command.js';
export { kernelDNSParam, kernelIPDNSSuffix } from './kernel-dns.js';
export {
  guestMountProblem,
  parseVolumeMount,
  type VolumeMount,
  validateGuestMount,
  validateMounts,
} from './mount-spec.js';
export { parsePublish } from './port-forwards.js';
export { processBackend } from './process/backend.js';
export { triedLimits } from './process/cgroup.js';
export { startCommand } from './process/command.js';
export { removeTree } from './process/root.js';
export {
  type AccelWish,
  createQemuBackend,
  digestOf,
  ensureDefaultImage,
  ensureGuestFiles,
  type QemuBackend,
  type QemuMachine,
  type QemuOptions,
  qemuBackend,
} from './qemu/index.js';
export { trustFor } from './trust/host-trust.js';
export type { Trust } from './trust/trust.js';

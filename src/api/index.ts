/**
 * The library: what a program may import from `sallyport`. Everything else may change without notice.
 *
 * A gateway is made of policy layers and an authority; a sandbox of it runs commands; events tell what happened.
 * `examples/library.mjs` shows all of it in forty lines.
 */
export type { Endpoint, IpAddress } from '../core/address.js';
export type { Authority, Scheme } from '../core/authority.js';
export { type Clock, systemClock } from '../core/clock.js';
export { errorCode, GatewayError, type GatewayErrorCode } from '../core/errors.js';
export type { Host, Hostname } from '../core/host.js';
export type { Result } from '../core/result.js';
export type { Resolver } from '../dns/resolver.js';
export type { EventBus, EventQuery } from '../events/bus.js';
export type {
  Event,
  EventType,
  ExecEvent,
  GatewayFact,
  Layer,
  NetworkEvent,
  Timings,
} from '../events/event.js';
export { EVENT_VERSION } from '../events/event.js';
export type { Sink } from '../events/feeder.js';
export { type FileSinkOptions, openFileSink } from '../events/file-sink.js';
export { type BadLine, type ReadOptions, readEvents } from '../events/read.js';
export { type FsyncPolicy, openSpool, type SpoolOptions } from '../events/spool/spool.js';
export { type Verification, type VerifyOptions, verifySpool } from '../events/spool/verify.js';
export type { EventStore } from '../events/store.js';
export {
  type Admitted,
  createGateway,
  type Gateway,
  type GatewayOptions,
  type Sandbox as GatewaySandbox,
  type SandboxCommand,
} from '../gateway.js';
export type { Flow, SandboxId } from '../net/flow.js';
export { compile } from '../policy/compile.js';
export { decide } from '../policy/decide.js';
export { parsePolicy } from '../policy/document.js';
export { type FlagsLayer, flagsLayer, type PolicyFlags } from '../policy/flags.js';
export { loadPolicy, PROFILES, type Profile } from '../policy/load.js';
export type { Policy, PolicyDocument } from '../policy/policy.js';
export { type Problem, problemText } from '../policy/problem.js';
export type { Allow, Deny, DenyReason, Question, Verdict } from '../policy/question.js';
export { Ca, type CaOptions } from '../proxy/tls/ca.js';
export { BACKEND_NAMES } from '../runtime/backends.js';
export {
  type ConfigDefaults,
  type ConfigOptions,
  configFrom,
  defaultConfig,
  emitConfig,
  getDNSServers,
  getWorkspace,
  parseConfig,
} from '../runtime/config.js';
export { validateNetworkConfig } from '../runtime/network.js';
export { balancedNetworkProfile, openNetworkProfile, strictNetworkProfile } from '../runtime/profiles.js';
export type { SandboxState } from '../runtime/record.js';
export { errorOfRefusal } from '../runtime/refusal-error.js';
export {
  type CreateOptions,
  Runtime,
  type RuntimeNetworkDefaults,
  type RuntimeOptions,
} from '../runtime/runtime.js';
export {
  type EventOptions,
  Sandbox,
  type SandboxInfo,
  type SandboxStopOptions,
  type StartOptions,
} from '../runtime/sandbox.js';
export type {
  Backend,
  Bind,
  CommandExit,
  Config,
  DirectMount,
  DiskMount,
  ExecExit,
  ExecOptions,
  ExecResult,
  Execution,
  FileContent,
  FileInfo,
  FileKind,
  HostIPMapping,
  ImageConfig,
  InteractiveExecution,
  InteractiveOptions,
  Machine,
  MachineDoor,
  MachineExit,
  Mount,
  MountConfig,
  NetworkConfig,
  NetworkMode,
  NetworkPolicy,
  NetworkProfile,
  PortForward,
  Resources,
  RunningCommand,
  SecretConfig,
  Stdio,
  StopOptions,
  VFSConfig,
  VMConfig,
  VolumeMount,
  WriteOptions,
} from '../vm/index.js';
export {
  composeCommand,
  DEFAULT_CPUS,
  DEFAULT_DISK_SIZE_MB,
  DEFAULT_DNS_SERVERS,
  DEFAULT_GRACEFUL_SHUTDOWN_PERIOD,
  DEFAULT_MEMORY_MB,
  DEFAULT_MTU,
  DEFAULT_TIMEOUT_SECONDS,
  DEFAULT_WORKSPACE,
  ErrBlocked,
  ErrFileFailed,
  ErrFileNotFound,
  ErrHostNotAllowed,
  ErrInvalidConfig,
  ErrMountInvalidConfig,
  ErrNetworkInvalidConfig,
  ErrNetworkUnsupportedPlatform,
  ErrSecretLeak,
  ErrTimeout,
  ErrVMExists,
  ErrVMNotFound,
  ErrVMNotRunning,
  ErrVMStartFailed,
  ErrVMState,
  ErrVMUnreachable,
  kernelDNSParam,
  kernelIPDNSSuffix,
  type NamedError,
  parseVolumeMount,
  shellQuoteArgs,
  validateGuestMount,
  validateMounts,
} from '../vm/index.js';
export { type EventSinksOptions, eventFilter, openEventSinks } from './sinks.js';

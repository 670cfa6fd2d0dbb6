/** `sallyport run`: one command behind the gateway (shell: signals, the environment, exit codes). */
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { systemClock } from '../core/clock.js';
import { errorCode, GatewayError } from '../core/errors.js';
import type { Sink } from '../events/feeder.js';
import { openFileSink } from '../events/file-sink.js';
import { createNarrator } from '../events/human.js';
import type { EventStore } from '../events/store.js';
import { createGateway, type Gateway, type GatewayOptions } from '../gateway.js';
import { flagsLayer, type PolicyFlags } from '../policy/flags.js';
import { loadPolicy } from '../policy/load.js';
import type { PolicyDocument } from '../policy/policy.js';
import { configInvalid } from '../policy/problem.js';
import { SHADOW_WARNING } from '../policy/warnings.js';
import { Ca } from '../proxy/tls/ca.js';
import { Ledger } from '../secrets/ledger.js';
import type { Bind, RunningCommand } from '../vm/index.js';
import { EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_OWN_FAILURE, EXIT_STOPPED, type Io } from './io.js';
import { limitsOf, limitsWarning, refuseMachineFlags } from './machine-flags.js';
import { statePaths } from './paths.js';
import { type MachineFlags, type MachineRun, runInMachine } from './run-machine.js';
import { type OpenedSinks, openFlaggedSinks, type SinkFlags } from './sinks.js';
import { openFlaggedSpool, type SpoolFlags, spoolFiles } from './spool.js';

export interface RunFlags extends PolicyFlags, SinkFlags, SpoolFlags, MachineFlags {
  readonly policy?: readonly string[];
  readonly upstreamCa?: readonly string[];
  readonly eventLog?: string;
  readonly quiet: boolean;
  readonly workdir?: string;
  readonly bind?: readonly string[];
  readonly roBind?: readonly string[];
  /** False: `--no-fs-isolation`. */
  readonly fsIsolation: boolean;
  readonly env?: readonly string[];
  /** True: the sandbox gets only what `--env` names, and what its tools cannot do without. */
  readonly clearEnv: boolean;
}

const FORWARDED: readonly NodeJS.Signals[] = [
  'SIGINT',
  'SIGTERM',
  'SIGHUP',
  'SIGQUIT',
  'SIGUSR1',
  'SIGUSR2',
  'SIGWINCH',
];

/** Runs `argv` to its end; resolves to the exit code of this process. */
export async function runRun(flags: RunFlags, argv: readonly string[], io: Io): Promise<number> {
  let gateway: Gateway | null = null;
  let opened: OpenedSinks | null = null;
  let spool: EventStore | null = null;
  const narrator = createNarrator({ colour: io.colour });
  try {
    refuseMachineFlags(flags);
    const { layers, literals } = await policyLayers(flags);
    const paths = statePaths(process.env);
    spool = await openFlaggedSpool(flags, io);
    opened = await openFlaggedSinks(flags, workdirOf(flags), io);
    const log: Sink[] = flags.eventLog === undefined ? [] : [await eventLog(flags.eventLog, io)];
    const ca = Ca.open({ dir: paths.ca });
    gateway = await createGateway({
      layers,
      literals,
      ca,
      ...ledgerFor(layers, paths.placeholders),
      upstreamCa: flags.upstreamCa ?? [],
      sinks: [...log, ...opened.sinks],
      ...(opened.metrics && { meter: opened.metrics }),
      ...(spool && { spool }),
    });
    watchMetrics(opened, gateway, ca);
    gateway.bus.subscribe(event => {
      const line = narrator.line(event);
      if (line !== null && !flags.quiet && flags.eventLog !== '-') io.stderr(`${line}\n`);
    });
    // Whatever is quiet: a run that enforces no rule must not look like one that does.
    if (gateway.policy.mode === 'shadow') io.stderr(`sallyport: WARNING: ${SHADOW_WARNING}\n`);
    const id = `run-${randomBytes(4).toString('hex')}`;
    const hide = [...paths.hidden, ...ownFiles(flags), ...spoolFiles(flags), ...opened.hidden];
    const kept = opened.variables;
    const { code, stopped } =
      flags.vm === true || flags.image !== undefined
        ? await runInMachine(gateway, flags, argv, { id, hide, kept, io })
        : await runOnHost(gateway, flags, argv, { id, hide, kept, io });
    if (stopped === null) return code;
    io.stderr(`sallyport: stopped the sandbox: ${stopped}\n`);
    return EXIT_STOPPED;
  } catch (error) {
    io.stderr(`sallyport: ${explain(error)}\n`);
    return exitCodeOf(error);
  } finally {
    if (gateway === null) {
      await opened?.close();
      await spool?.close?.();
    }
    await gateway?.close();
    const summary = narrator.summary();
    if (summary !== null && !flags.quiet && flags.eventLog !== '-') io.stderr(`${summary}\n`);
  }
}

function watchMetrics({ metrics }: OpenedSinks, { bus }: Gateway, ca: Ca): void {
  metrics?.watch({
    get sinks() {
      return bus.sinks;
    },
    get minted() {
      return ca.minted;
    },
  });
}

/** With the ledger, `sallyport secrets whose` can tell later for whom a placeholder was made. */
function ledgerFor(
  layers: readonly PolicyDocument[],
  dir: string,
): Pick<GatewayOptions, 'placeholderKey' | 'onPlaceholders'> {
  if (layers.every(layer => layer.secrets.length === 0)) return {};
  const ledger = Ledger.open(dir);
  return { placeholderKey: ledger.key, onPlaceholders: owners => ledger.record(owners) };
}

/** The evidence, wherever it lies: a sandbox that could write it could tell another story. */
function ownFiles({ eventLog }: RunFlags): readonly string[] {
  const isFile = eventLog !== undefined && eventLog !== '-' && !eventLog.startsWith('/dev/');
  return isFile ? [resolve(eventLog)] : [];
}

async function policyLayers(
  flags: RunFlags,
): Promise<{ readonly layers: readonly PolicyDocument[]; readonly literals: ReadonlyMap<string, string> }> {
  const own = flagsLayer(flags);
  if (!own.ok) throw configInvalid('', own.error);
  const files = await Promise.all((flags.policy ?? []).map(loadPolicy));
  return { layers: [...files, own.value.document], literals: own.value.literals };
}

async function eventLog(path: string, io: Io): Promise<Sink> {
  return await openFileSink({
    path,
    clock: systemClock,
    onTrouble: error => io.stderr(`sallyport: ${error.message}\n`),
  });
}

interface HostRun {
  readonly id: string;
  readonly hide: readonly string[];
  readonly kept: readonly string[];
  readonly io: Io;
}

async function runOnHost(
  gateway: Gateway,
  flags: RunFlags,
  [program = '', ...args]: readonly string[],
  { id, hide, kept, io }: HostRun,
): Promise<MachineRun> {
  const limits = limitsOf(flags);
  const sandbox = await gateway.openSandbox(id);
  const workdir = workdirOf(flags);
  const command = await sandbox.run({
    argv: [program, ...args],
    env: environmentOf(flags, without(process.env, kept)),
    workdir,
    binds: [
      ...(flags.roBind ?? []).map(text => parseBind(text, false)),
      ...(flags.bind ?? []).map(text => parseBind(text, true)),
    ],
    noFsIsolation: !flags.fsIsolation,
    hide,
    ...(limits && { limits }),
    stdin: 'inherit',
    stdout: 'inherit',
    stderr: 'inherit',
  });
  const warning = flags.quiet ? null : limitsWarning(command.limits);
  if (warning !== null) io.stderr(warning);
  const stop = forwardSignals(command);
  try {
    const { code } = await command.exit;
    return { code, stopped: sandbox.stopped };
  } finally {
    stop();
  }
}

function workdirOf({ workdir }: RunFlags): string {
  return resolve(workdir ?? process.cwd());
}

type Variables = Readonly<Record<string, string | undefined>>;

/** What is the gateway's alone, the sandbox never has: not even where it is asked for by name. */
function without(env: Variables, kept: readonly string[]): Variables {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !kept.includes(name)));
}

/** Signals reach the command, not us: it decides what an interrupt means, and we end when it has. */
function forwardSignals(command: RunningCommand): () => void {
  const handlers = FORWARDED.map(signal => {
    const forward = (): void => command.kill(signal);
    process.on(signal, forward);
    return { signal, forward };
  });
  return () => {
    for (const { signal, forward } of handlers) process.off(signal, forward);
  };
}

/** `HOST` or `HOST:SANDBOX`. */
function parseBind(text: string, writable: boolean): Bind {
  const [source = '', target = source, ...rest] = text.split(':');
  if (source === '' || target === '' || rest.length > 0) {
    const flag = writable ? '--bind' : '--ro-bind';
    throw new GatewayError('CONFIG_INVALID', `${flag}: '${text}' is not PATH or PATH:PATH-IN-SANDBOX`);
  }
  return { source: resolve(source), target: resolve(target), writable };
}

const ALWAYS: ReadonlySet<string> = new Set([
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'TERM',
  'LANG',
  'TZ',
]);

function environmentOf({ env, clearEnv }: RunFlags, own: Variables): Record<string, string | undefined> {
  const base = Object.entries(own).filter(
    ([name]) => !clearEnv || ALWAYS.has(name) || name.startsWith('LC_'),
  );
  const given = (env ?? []).map((text): [string, string | undefined] => {
    const at = text.indexOf('=');
    return at < 0 ? [text, own[text]] : [text.slice(0, at), text.slice(at + 1)];
  });
  return Object.fromEntries([...base, ...given]);
}

function exitCodeOf(error: unknown): number {
  const code = errorCode(error);
  if (code === 'COMMAND_NOT_FOUND') return EXIT_NOT_FOUND;
  if (code === 'COMMAND_NOT_EXECUTABLE') return EXIT_NOT_EXECUTABLE;
  return EXIT_OWN_FAILURE;
}

/** Our own errors are sentences; any other is a bug, told with its place. */
function explain(error: unknown): string {
  if (error instanceof GatewayError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

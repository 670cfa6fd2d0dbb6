/**
 * The sinks of a document, opened: files are there, credentials are read, nothing is sent yet. A shell: the process's
 * variables.
 *
 * Every problem is listed at once, with its path in the document.
 */
import type { SecureContext } from 'node:tls';
import { type Clock, systemClock } from '../core/clock.js';
import { errorCode, GatewayError } from '../core/errors.js';
import type { Sink } from '../events/feeder.js';
import { configInvalid, type Problem } from '../policy/problem.js';
import type { Variables } from './credentials.js';
import { nameOf, type SinksDocument } from './document.js';
import type { MetricsServer } from './metrics-server.js';
import type { SinkInput, SinkOf } from './schema.js';

export interface OpenOptions {
  /** Stands in messages: the file's name. */
  readonly source?: string;
  /** Where `{ env: … }` looks. Default: the process's environment. */
  readonly env?: Variables;
  /** What the other side's certificate is verified against: the system's roots and those in `caFiles`. */
  readonly contextFor: (caFiles: readonly string[]) => Promise<SecureContext>;
  /** Of the program: stands in OCSF and OpenTelemetry records. */
  readonly version: string;
  readonly clock?: Clock;
  /** Told of a sink's troubles; the sinks go on. */
  readonly onTrouble?: (error: GatewayError) => void;
}

/** What a kind of sink is opened with. */
export interface Surroundings {
  readonly name: string;
  readonly env: Variables;
  readonly contextFor: OpenOptions['contextFor'];
  readonly version: string;
  readonly clock: Clock;
  readonly onTrouble: (error: GatewayError) => void;
}

type Opener<T extends SinkInput['type']> = (sink: SinkOf<T>, around: Surroundings) => Promise<Sink>;

/** Loaded when there is one of the kind: each brings its own library. */
const OPENERS: { readonly [T in SinkInput['type']]: () => Promise<Opener<T>> } = {
  file: async () => (await import('./open-files.js')).openFile,
  stdout: async () => (await import('./open-files.js')).openStdout,
  otlp: async () => (await import('./open-otlp.js')).openOtlp,
  server: async () => (await import('./open-server.js')).openServer,
  nats: async () => (await import('./open-nats.js')).openNats,
  syslog: async () => (await import('./open-syslog.js')).openSyslog,
  webhook: async () => (await import('./open-webhook.js')).openWebhook,
};

export interface Opened {
  readonly sinks: readonly Sink[];
  /** Null: none were asked for. They are among the sinks. */
  readonly metrics: MetricsServer | null;
}

/** Opens all, or none. Throws `CONFIG_INVALID` with every problem, or `EVENTS_FAILED`. */
export async function openSinks(document: SinksDocument, options: OpenOptions): Promise<Opened> {
  const sinks = await openAll(document, options);
  if (document.metrics === null) return { sinks, metrics: null };
  try {
    const { openMetricsOf } = await import('./open-metrics.js');
    const metrics = await openMetricsOf(document.metrics, options);
    return { sinks: [...sinks, metrics], metrics };
  } catch (error) {
    await Promise.allSettled(sinks.map(sink => sink.close?.()));
    const message = error instanceof GatewayError ? error.message : `cannot be opened (${errorCode(error)})`;
    throw configInvalid(options.source ?? '', [{ path: 'metrics', message }]);
  }
}

async function openAll(document: SinksDocument, options: OpenOptions): Promise<readonly Sink[]> {
  const { source = '', env = process.env, clock = systemClock, onTrouble = () => undefined } = options;
  const { contextFor, version } = options;
  const opened = await Promise.allSettled(
    document.sinks.map(async (sink, i) =>
      openOne(sink, { name: nameOf(sink, i), env, contextFor, version, clock, onTrouble }),
    ),
  );
  const problems = opened.flatMap((one, i) => (one.status === 'rejected' ? [problemOf(one.reason, i)] : []));
  const sinks = opened.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []));
  if (problems.length === 0) return sinks;
  await Promise.allSettled(sinks.map(sink => sink.close?.()));
  throw configInvalid(source, problems);
}

async function openOne<T extends SinkInput['type']>(sink: SinkOf<T>, around: Surroundings): Promise<Sink> {
  const load = OPENERS[sink.type] as () => Promise<Opener<T>>;
  const open = await load();
  return await open(sink, around);
}

function problemOf(reason: unknown, index: number): Problem {
  const message = reason instanceof GatewayError ? reason.message : `cannot be opened (${errorCode(reason)})`;
  return { path: `sinks[${index}]`, message };
}

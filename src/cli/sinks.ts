/** `--events` and `--event-sink`: from flags to sinks that are open (shell: the environment). */
import { dirname, resolve } from 'node:path';
import { version } from '../api/version.js';
import { GatewayError } from '../core/errors.js';
import type { Sink } from '../events/feeder.js';
import { configInvalid } from '../policy/problem.js';
import { loadTrust } from '../proxy/upstream/trust.js';
import type { SinksDocument } from '../sinks/document.js';
import type { MetricsServer } from '../sinks/metrics-server.js';
import type { Io } from './io.js';

export interface SinkFlags {
  /** The file. */
  readonly events?: string;
  readonly eventSink?: readonly string[];
  readonly metrics?: string;
}

export interface OpenedSinks {
  readonly sinks: readonly Sink[];
  /** Files and folders that no sandbox may see. */
  readonly hidden: readonly string[];
  /** Variables that are the gateway's alone. */
  readonly variables: readonly string[];
  /** Null: none. */
  readonly metrics: MetricsServer | null;
  /** Only for whom no gateway took the sinks over. */
  close(): Promise<void>;
}

const NONE: OpenedSinks = {
  sinks: [],
  hidden: [],
  variables: [],
  metrics: null,
  close: async () => undefined,
};

/** Throws `CONFIG_INVALID` with every problem, or `EVENTS_FAILED`. */
export async function openFlaggedSinks(flags: SinkFlags, workdir: string, io: Io): Promise<OpenedSinks> {
  const { events, eventSink, metrics: listen } = flags;
  if (events === undefined && eventSink === undefined && listen === undefined) return NONE;
  const document = await documentOf(flags);
  const { credentialsIn, filesIn } = await import('../sinks/document.js');
  const folders = foldersOf(document, workdir);
  const files = [...(events === undefined ? [] : [events]), ...filesIn(document)];
  // What lies in a hidden folder is hidden with it: by itself it would be an entry of its own there.
  const apart = files.map(path => resolve(path)).filter(path => !folders.includes(dirname(path)));
  const { openSinks } = await import('../sinks/open.js');
  const { sinks, metrics } = await openSinks(document, {
    source: events ?? '--event-sink',
    env: process.env,
    contextFor: async caFiles => (await loadTrust(caFiles)).context,
    version: version(),
    onTrouble: error => io.stderr(`sallyport: ${error.message}\n`),
  });
  return {
    sinks,
    metrics,
    hidden: [...folders, ...apart],
    variables: credentialsIn(document).flatMap(({ env }) => env ?? []),
    close: async () => void (await Promise.allSettled(sinks.map(sink => sink.close?.()))),
  };
}

/** A log that rotates changes its file: its whole folder is hidden, and must be none that the sandbox works in. */
function foldersOf(document: SinksDocument, workdir: string): readonly string[] {
  const folders = document.sinks.flatMap(sink =>
    sink.type === 'file' && sink.rotate !== undefined ? [dirname(resolve(sink.path))] : [],
  );
  const open = folders.find(folder => `${workdir}/`.startsWith(folder === '/' ? '/' : `${folder}/`));
  if (open === undefined) return folders;
  const message = `a log that rotates needs a folder that the sandbox does not work in: ${open} is one`;
  throw new GatewayError('CONFIG_INVALID', message);
}

async function documentOf({ events, eventSink = [], metrics: listen }: SinkFlags): Promise<SinksDocument> {
  const { loadSinks } = await import('../sinks/load.js');
  const { sinkOfUrl } = await import('../sinks/url.js');
  const { sinksFrom } = await import('../sinks/document.js');
  const file = events === undefined ? { sinks: [], metrics: null } : await loadSinks(events);
  const entries = eventSink.map(text => {
    const entry = sinkOfUrl(text);
    if (!entry.ok) throw new GatewayError('CONFIG_INVALID', `--event-sink: ${entry.error}`);
    return entry.value;
  });
  const metrics = listen === undefined ? file.metrics : { ...file.metrics, listen };
  const all = sinksFrom({ sinks: [...file.sinks, ...entries], ...(metrics && { metrics }) });
  if (!all.ok) throw configInvalid('--event-sink, --metrics', all.error);
  return all.value;
}

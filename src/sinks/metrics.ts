/**
 * Metrics for Prometheus, made of events: a sink like any other, so that the path of a request pays nothing for them.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { SinkState } from '../events/bus.js';
import type { Event, Timings } from '../events/event.js';
import type { Sink } from '../events/feeder.js';
import { type HistogramSpec, registerHistogram, Series } from './distribution.js';
import { COUNTERS, type CounterName, Tally, type TallyLimits } from './tally.js';

/** What is asked at the moment of a scrape. */
export interface Watched {
  /** The sinks as they stand. */
  readonly sinks: readonly SinkState[];
  /** Certificates made so far. */
  readonly minted: number;
}

/** Seconds: from a tenth of a millisecond on loopback to a minute of a slow upstream. */
const PHASE_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];
const SCRIPT_BUCKETS = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 1];

export interface MetricsOptions extends TallyLimits {
  readonly version: string;
}

export class Metrics implements Sink {
  readonly name = 'metrics';
  readonly whenFull = 'drop-and-mark';
  readonly #registry = new Registry();
  readonly #tally: Tally;
  readonly #phases: Phases;
  readonly #hooks = new Map<string, Series>();
  #watched: Watched = { sinks: [], minted: 0 };

  constructor({ version, ...limits }: MetricsOptions) {
    this.#tally = new Tally(limits);
    collectDefaultMetrics({ register: this.#registry });
    for (const name of Object.keys(COUNTERS) as CounterName[]) this.#counter(name);
    this.#phases = phasesIn(this.#registry);
    registerHistogram(this.#registry, OF_REQUESTS, () => this.#tally.times());
    registerHistogram(this.#registry, OF_SCRIPTS, () => this.#hooks);
    this.#gauges(version);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The names of all metrics that there can be. */
  get names(): readonly string[] {
    return this.#registry.getMetricsAsArray().map(({ name }) => name);
  }

  watch(watched: Watched): void {
    this.#watched = watched;
  }

  write(events: readonly Event[]): void {
    for (const event of events) {
      this.#tally.count(event);
      const timings = event.network?.timings;
      if (timings !== undefined) this.#observe(timings);
    }
  }

  /** A call of a policy script: no event tells of it. */
  scriptCall(hook: string, ms: number): void {
    const known = this.#hooks.get(hook);
    const series = known ?? new Series(SCRIPT_BUCKETS);
    if (known === undefined) this.#hooks.set(hook, series);
    series.observe(ms / 1_000);
  }

  /** The text that a scrape gets. */
  async text(): Promise<string> {
    return await this.#registry.metrics();
  }

  #observe({ dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms }: Timings): void {
    const { dns, connect, tls, firstByte, total } = this.#phases;
    if (dns_ms !== null) dns.observe(dns_ms / 1_000);
    if (connect_ms !== null) connect.observe(connect_ms / 1_000);
    if (tls_ms !== null) tls.observe(tls_ms / 1_000);
    if (first_byte_ms !== null) firstByte.observe(first_byte_ms / 1_000);
    total.observe(total_ms / 1_000);
  }

  #counter(name: CounterName): void {
    const tally = this.#tally;
    const { help, labels } = COUNTERS[name];
    new Counter({
      name,
      help,
      labelNames: [...labels],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const { labels: own, value } of tally.values(name)) this.inc(own, value);
      },
    });
  }

  #gauges(version: string): void {
    const registers = [this.#registry];
    const tally = this.#tally;
    const sinks = (): readonly SinkState[] => this.#watched.sinks;
    const minted = (): number => this.#watched.minted;
    new Gauge({ name: 'sallyport_info', help: 'Always 1.', labelNames: ['version'], registers }).set(
      { version },
      1,
    );
    new Gauge({
      name: 'sallyport_flows_open',
      help: 'Connections that are open.',
      registers,
      collect() {
        this.set(tally.openFlows);
      },
    });
    new Counter({
      name: 'sallyport_certificates_minted_total',
      help: 'Leaf certificates made.',
      registers,
      collect() {
        this.reset();
        this.inc(minted());
      },
    });
    for (const [name, help, read] of SINK_GAUGES) {
      new Gauge({
        name,
        help,
        labelNames: ['sink'],
        registers,
        collect() {
          this.reset();
          for (const state of sinks()) this.set({ sink: state.name }, read(state));
        },
      });
    }
    for (const [name, help, read] of SINK_COUNTERS) {
      new Counter({
        name,
        help,
        labelNames: ['sink'],
        registers,
        collect() {
          this.reset();
          for (const state of sinks()) {
            const value = read(state);
            if (value !== undefined) this.inc({ sink: state.name }, value);
          }
        },
      });
    }
  }
}

interface Phases {
  readonly dns: Series;
  readonly connect: Series;
  readonly tls: Series;
  readonly firstByte: Series;
  readonly total: Series;
}

function phasesIn(registry: Registry): Phases {
  const series = (): Series => new Series(PHASE_BUCKETS);
  const phases = { dns: series(), connect: series(), tls: series(), firstByte: series(), total: series() };
  const { firstByte, ...others } = phases;
  const named = Object.entries({ ...others, first_byte: firstByte });
  registerHistogram(registry, OF_PHASES, () => named);
  return phases;
}

const OF_PHASES: HistogramSpec = {
  name: 'sallyport_request_phase_seconds',
  help: 'What the time of a request went into: dns, connect, tls, first_byte, total.',
  label: 'phase',
};

const OF_REQUESTS: HistogramSpec = {
  name: 'sallyport_request_seconds',
  help: 'How long a request took, to its end.',
  label: 'sandbox',
};

const OF_SCRIPTS: HistogramSpec = {
  name: 'sallyport_script_call_seconds',
  help: 'How long a call of a policy script took, its waiting included, by hook.',
  label: 'hook',
};

type Reading<T> = readonly [name: string, help: string, read: (state: SinkState) => T];

const SINK_GAUGES: readonly Reading<number>[] = [
  ['sallyport_sink_queued_events', 'Events that wait for the sink.', ({ queued }) => queued],
  [
    'sallyport_sink_blocked',
    '1 while requests with secrets are refused for it.',
    ({ blocked }) => Number(blocked),
  ],
];

/** Undefined where a sink has none such. */
const SINK_COUNTERS: readonly Reading<number | undefined>[] = [
  [
    'sallyport_sink_dropped_events_total',
    'Events that the sink lost or never saw.',
    ({ dropped }) => dropped,
  ],
  ['sallyport_sink_failures_total', 'Writes that the sink refused or gave up.', ({ failures }) => failures],
  [
    'sallyport_sink_delivered_events_total',
    'Events that the other side of the sink has taken.',
    ({ delivery }) => delivery?.delivered,
  ],
  [
    'sallyport_sink_attempts_total',
    'Batches that the sink sent, tried again ones included.',
    ({ delivery }) => delivery?.attempts,
  ],
  [
    'sallyport_sink_faults_total',
    'Attempts that came to nothing: each is tried again, put aside or given up.',
    ({ delivery }) => delivery?.faults,
  ],
  [
    'sallyport_sink_dead_letter_events_total',
    'Events that the sink put aside in its dead-letter file.',
    ({ delivery }) => delivery?.deadLettered,
  ],
];

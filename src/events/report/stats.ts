/**
 * Recorded events, counted: by host, by rule, by reason, by sandbox; how long requests took. Pure; bounded.
 */
import type { Event, NetworkEvent } from '../event.js';
import { Quantiles } from './quantiles.js';
import { Tally } from './tally.js';

export interface HostStats {
  readonly host: string;
  readonly allowed: number;
  readonly denied: number;
  readonly failed: number;
  /** Passed by `mode: shadow` alone. */
  readonly wouldDeny: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** Milliseconds, of requests that were answered. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Counted {
  readonly name: string;
  readonly times: number;
}

export interface Talker {
  readonly sandbox: string;
  readonly events: number;
  readonly bytes: number;
}

export interface Stats {
  readonly events: number;
  /** Milliseconds since the Unix epoch; null: there is no event. */
  readonly first: number | null;
  readonly last: number | null;
  readonly allowed: number;
  readonly denied: number;
  readonly failed: number;
  readonly wouldDeny: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** The most asked first. */
  readonly hosts: readonly HostStats[];
  readonly rules: readonly Counted[];
  readonly reasons: readonly Counted[];
  readonly talkers: readonly Talker[];
  /** Events of hosts that found no room in the list. */
  readonly otherHosts: number;
}

interface HostTally {
  allowed: number;
  denied: number;
  failed: number;
  wouldDeny: number;
  requestBytes: number;
  responseBytes: number;
  readonly times: Quantiles;
}

interface TalkerTally {
  events: number;
  bytes: number;
}

/** A quantile's buckets are a kilobyte. */
const MOST_HOSTS = 2_000;

export class StatsCounter {
  readonly #hosts = new Tally<HostTally>(freshHost, MOST_HOSTS);
  readonly #rules = new Tally<{ times: number }>(() => ({ times: 0 }));
  readonly #reasons = new Tally<{ times: number }>(() => ({ times: 0 }));
  readonly #talkers = new Tally<TalkerTally>(() => ({ events: 0, bytes: 0 }));
  readonly #whole = freshHost();
  #events = 0;
  #first: number | null = null;
  #last: number | null = null;

  add(event: Event): void {
    const { timestamp, network, sandbox } = event;
    this.#events += 1;
    if (this.#first === null || timestamp < this.#first) this.#first = timestamp;
    if (this.#last === null || timestamp > this.#last) this.#last = timestamp;
    const ended = network !== undefined && isEnd(event, network);
    const talker = this.#talkers.at(sandbox ?? '-');
    talker.events += 1;
    if (!ended) return;
    talker.bytes += network.request_bytes + network.response_bytes;
    this.#rules.at(network.rule ?? '-').times += 1;
    const why = network.would_deny ?? network.reason;
    if (why !== null) this.#reasons.at(why).times += 1;
    for (const tally of [this.#hosts.at(network.host), this.#whole]) count(tally, event, network);
  }

  result(): Stats {
    const { allowed, denied, failed, wouldDeny, times } = this.#whole;
    const hosts = this.#hosts.ranked(({ allowed, denied, failed }) => allowed + denied + failed);
    const rest = this.#hosts.rest;
    return {
      events: this.#events,
      first: this.#first,
      last: this.#last,
      ...{ allowed, denied, failed, wouldDeny },
      p50Ms: rounded(times.at(0.5)),
      p99Ms: rounded(times.at(0.99)),
      hosts: hosts.map(([host, tally]) => hostStats(host, tally)),
      rules: counted(this.#rules),
      reasons: counted(this.#reasons),
      talkers: this.#talkers
        .ranked(({ bytes, events }) => bytes + events)
        .map(([sandbox, { events, bytes }]) => ({ sandbox, events, bytes })),
      otherHosts: rest === null ? 0 : rest.allowed + rest.denied + rest.failed,
    };
  }
}

/** Each thing that was asked counts once: when it ended. A flow whose requests were read is its requests. */
function isEnd({ type }: Event, { destination }: NetworkEvent): boolean {
  if (type === 'flow.closed') return destination !== null;
  return ENDS.has(type);
}

const ENDS: ReadonlySet<string> = new Set([
  'dns.answered',
  'dns.refused',
  'flow.refused',
  'tls.refused',
  'request.done',
  'request.refused',
  'request.failed',
]);

function count(tally: HostTally, event: Event, network: NetworkEvent): void {
  if (event.type === 'request.failed') tally.failed += 1;
  else if (network.decision === 'deny') tally.denied += 1;
  else tally.allowed += 1;
  if (network.would_deny !== undefined) tally.wouldDeny += 1;
  tally.requestBytes += network.request_bytes;
  tally.responseBytes += network.response_bytes;
  if (event.type === 'request.done') tally.times.add(network.timings?.total_ms ?? network.duration_ms);
}

function freshHost(): HostTally {
  const times = new Quantiles();
  return { allowed: 0, denied: 0, failed: 0, wouldDeny: 0, requestBytes: 0, responseBytes: 0, times };
}

function hostStats(host: string, { times, ...counts }: HostTally): HostStats {
  return { host, ...counts, p50Ms: rounded(times.at(0.5)), p99Ms: rounded(times.at(0.99)) };
}

function counted(tally: Tally<{ times: number }>): readonly Counted[] {
  return tally.ranked(({ times }) => times).map(([name, { times }]) => ({ name, times }));
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}

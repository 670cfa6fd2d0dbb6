/**
 * What events add up to: counters by few labels, each with few values. Pure.
 *
 * Whatever a stranger can choose is bounded: sandboxes beyond the limit take the place of the one that has been silent
 * the longest, whose counts go to `other`; reasons and types beyond theirs are `other` from the start. So no count is
 * ever lost, and no total goes down.
 */
import type { Event } from '../events/event.js';
import { Series } from './distribution.js';

export type Labels = Readonly<Record<string, string>>;

export interface CounterSpec {
  readonly help: string;
  readonly labels: readonly string[];
}

/** Every counter there is; `docs/grafana/sallyport.json` and `docs/reference/metrics.md` name no other. */
export const COUNTERS = {
  sallyport_events_total: { help: 'Events emitted, by type.', labels: ['type'] },
  sallyport_requests_total: {
    help: 'Requests that have ended: done, refused or failed, with the class of the answer.',
    labels: ['sandbox', 'outcome', 'status'],
  },
  sallyport_refusals_total: {
    help: 'Refusals of look-ups, connections, handshakes and requests, by reason.',
    labels: ['sandbox', 'layer', 'reason'],
  },
  sallyport_failures_total: { help: 'Requests that were allowed and failed, by code.', labels: ['reason'] },
  sallyport_request_bytes_total: {
    help: 'Bytes of requests and answers as on the wire of the sandbox.',
    labels: ['sandbox', 'direction'],
  },
  sallyport_flows_total: { help: 'Connections opened, closed and refused.', labels: ['sandbox', 'outcome'] },
  sallyport_flow_bytes_total: {
    help: 'Bytes of connections that have closed, as on the wire of the sandbox.',
    labels: ['sandbox', 'direction'],
  },
  sallyport_lookups_total: { help: 'Look-ups answered and refused.', labels: ['sandbox', 'outcome'] },
  sallyport_handshakes_total: { help: 'TLS handshakes done and refused.', labels: ['sandbox', 'outcome'] },
  sallyport_secret_events_total: {
    help: 'Leaks stopped, placeholders left, values rotated or lost.',
    labels: ['sandbox', 'kind'],
  },
  sallyport_commands_total: { help: 'Commands started and ended.', labels: ['sandbox', 'outcome'] },
} as const satisfies Readonly<Record<string, CounterSpec>>;

export type CounterName = keyof typeof COUNTERS;

export interface TallyLimits {
  /** Sandboxes with labels of their own at a time. */
  readonly sandboxes: number;
}

/** Reasons and codes are ours; a protocol fault may be anything of a hundred. */
const MAX_REASONS = 128;

export const OTHER = 'other';

interface Cell {
  readonly labels: Labels;
  value: number;
}

/** What an event of one kind adds to: found once for each kind and sandbox, because this runs for every event. */
interface Plan {
  /** One more in each. */
  readonly events: readonly Cell[];
  readonly sent: Cell | null;
  readonly received: Cell | null;
}

/** A sandbox with labels of its own. */
interface Account {
  readonly id: string;
  /** By type, layer, class of the answer and reason, each of which is bounded. */
  readonly plans: Map<string, Plan>;
  /** Of requests, in seconds. */
  readonly times: Series;
}

/** Seconds; few, because each sandbox has all of them. */
const REQUEST_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];

function accountOf(id: string, times = new Series(REQUEST_BUCKETS)): Account {
  return { id, plans: new Map(), times };
}

export class Tally {
  readonly #limits: TallyLimits;
  readonly #cells = new Map<CounterName, Map<string, Cell>>();
  /** What is no sandbox's. */
  readonly #nobody = accountOf('');
  /** Of those that gave their label up, and of one that is itself named so. */
  readonly #otherTimes = new Series(REQUEST_BUCKETS);
  /** In order of when each was last heard of. */
  readonly #accounts = new Map<string, Account>();
  #latest = this.#nobody;
  readonly #reasons = new Set<string>();
  #open = 0;

  constructor(limits: TallyLimits) {
    this.#limits = limits;
  }

  /** Connections that were opened and have not closed. */
  get openFlows(): number {
    return this.#open;
  }

  values(name: CounterName): readonly { readonly labels: Labels; readonly value: number }[] {
    return [...(this.#cells.get(name)?.values() ?? [])];
  }

  /** How long requests took, by sandbox. */
  times(): Iterable<readonly [string, Series]> {
    const own = [...this.#accounts.values(), this.#nobody].map(({ id, times }) => [id, times] as const);
    return new Map([...own, [OTHER, this.#otherTimes]]);
  }

  count(event: Event): void {
    const { type, network } = event;
    const account = this.#account(event.sandbox);
    const { events, sent, received } = this.#planFor(event, account);
    for (const cell of events) cell.value += 1;
    if (network === undefined) return;
    if (sent !== null) sent.value += network.request_bytes;
    if (received !== null) received.value += network.response_bytes;
    if (network.timings !== undefined) account.times.observe(network.timings.total_ms / 1_000);
    if (type === 'flow.opened') this.#open += 1;
    else if (type === 'flow.closed') this.#open = Math.max(0, this.#open - 1);
  }

  #planFor(event: Event, account: Account): Plan {
    const { type, network } = event;
    // Rare, and an exit code is no bounded kind.
    if (network === undefined)
      return { events: this.#factCells(event, account.id), sent: null, received: null };
    const named = type.endsWith('.refused') || type.endsWith('.failed');
    const reason = named ? this.#reason(network.reason) : '';
    const answer = network.status_code === 0 ? 0 : Math.floor(network.status_code / 100);
    const kind = `${type} ${network.layer} ${answer} ${reason}`;
    const planned = account.plans.get(kind);
    if (planned !== undefined) return planned;
    const status = answer === 0 ? 'none' : `${answer}xx`;
    const plan = this.#networkPlan(type, account.id, { layer: network.layer, status, reason });
    account.plans.set(kind, plan);
    return plan;
  }

  #factCells({ type, exec }: Event, sandbox: string): readonly Cell[] {
    const cells = this.#typeCells(type, sandbox);
    if (type === 'exec.started' || type === 'exec.done') {
      const code = exec?.exit_code;
      const outcome = type === 'exec.started' ? 'started' : code === 0 ? 'succeeded' : 'failed';
      cells.push(this.#cell('sallyport_commands_total', { sandbox, outcome }));
    }
    return cells;
  }

  #typeCells(type: Event['type'], sandbox: string): Cell[] {
    const cells = [this.#cell('sallyport_events_total', { type })];
    if (type.startsWith('secret.')) {
      const kind = type.slice('secret.'.length);
      cells.push(this.#cell('sallyport_secret_events_total', { sandbox, kind }));
    }
    return cells;
  }

  #networkPlan(
    type: Event['type'],
    sandbox: string,
    { layer, status, reason }: { readonly layer: string; readonly status: string; readonly reason: string },
  ): Plan {
    const [what = '', outcome = ''] = type.split('.');
    const events = this.#typeCells(type, sandbox);
    const add = (name: CounterName, labels: Labels): void => void events.push(this.#cell(name, labels));
    if (outcome === 'refused') add('sallyport_refusals_total', { sandbox, layer, reason });
    if (what === 'request') {
      add('sallyport_requests_total', { sandbox, outcome, status });
      if (outcome === 'failed') add('sallyport_failures_total', { reason });
      return { events, ...this.#byteCells('sallyport_request_bytes_total', sandbox) };
    }
    if (what === 'flow') add('sallyport_flows_total', { sandbox, outcome });
    else if (what === 'dns') add('sallyport_lookups_total', { sandbox, outcome });
    else if (what === 'tls') add('sallyport_handshakes_total', { sandbox, outcome });
    if (type !== 'flow.closed') return { events, sent: null, received: null };
    return { events, ...this.#byteCells('sallyport_flow_bytes_total', sandbox) };
  }

  #byteCells(name: CounterName, sandbox: string): Pick<Plan, 'sent' | 'received'> {
    return {
      sent: this.#cell(name, { sandbox, direction: 'sent' }),
      received: this.#cell(name, { sandbox, direction: 'received' }),
    };
  }

  #reason(reason: string | null): string {
    const known = reason ?? 'unknown';
    if (this.#reasons.has(known)) return known;
    if (this.#reasons.size >= MAX_REASONS) return OTHER;
    this.#reasons.add(known);
    return known;
  }

  #account(id: string | null): Account {
    if (id === this.#latest.id) return this.#latest;
    this.#latest = id === null ? this.#nobody : this.#heardOf(id);
    return this.#latest;
  }

  #heardOf(id: string): Account {
    const account = this.#accounts.get(id) ?? accountOf(id, id === OTHER ? this.#otherTimes : undefined);
    this.#accounts.delete(id);
    this.#accounts.set(id, account);
    if (this.#accounts.size > this.#limits.sandboxes) {
      const [silent] = this.#accounts.values();
      if (silent !== undefined) this.#merge(silent);
    }
    return account;
  }

  /** The counts of a sandbox go to `other`. */
  #merge({ id: sandbox, times }: Account): void {
    this.#accounts.delete(sandbox);
    if (times !== this.#otherTimes) this.#otherTimes.add(times);
    for (const [name, cells] of this.#cells) {
      // A copy: one of a sandbox that is itself named `other` comes in again behind the rest.
      for (const [key, { labels, value }] of [...cells]) {
        if (labels.sandbox !== sandbox) continue;
        cells.delete(key);
        this.#cell(name, { ...labels, sandbox: OTHER }).value += value;
      }
    }
  }

  #cell(name: CounterName, labels: Labels): Cell {
    const cells = this.#cells.get(name) ?? new Map<string, Cell>();
    this.#cells.set(name, cells);
    const key = Object.values(labels).join('\0');
    const known = cells.get(key);
    if (known !== undefined) return known;
    const cell = { labels, value: 0 };
    cells.set(key, cell);
    return cell;
  }
}

/**
 * What events add up to: counters by few labels, each with few values. Pure.
 *
 * Whatever a stranger can choose is bounded: sandboxes beyond the limit take the place of the one that has been silent
 * the longest, whose counts go to `other`; reasons and types beyond theirs are `other` from the start. So no count is
 * ever lost, and no total goes down.
 */
import type { Event, NetworkEvent } from '../events/event.js';

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

export class Tally {
  readonly #limits: TallyLimits;
  readonly #cells = new Map<CounterName, Map<string, Cell>>();
  /** In order of when each was last heard of. */
  readonly #sandboxes = new Map<string, true>();
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

  count(event: Event): void {
    const { type, network } = event;
    this.#add('sallyport_events_total', { type }, 1);
    const sandbox = this.#sandbox(event.sandbox);
    if (network !== undefined) this.#network(type, network, sandbox);
    else if (type === 'exec.started' || type === 'exec.done') {
      const code = event.exec?.exit_code;
      const outcome = type === 'exec.started' ? 'started' : code === 0 ? 'succeeded' : 'failed';
      this.#add('sallyport_commands_total', { sandbox, outcome }, 1);
    }
    if (type.startsWith('secret.')) {
      this.#add('sallyport_secret_events_total', { sandbox, kind: type.slice('secret.'.length) }, 1);
    }
  }

  #network(type: Event['type'], network: NetworkEvent, sandbox: string): void {
    const [what = '', outcome = ''] = type.split('.');
    const { layer, status_code, request_bytes, response_bytes } = network;
    const bytes = { sent: request_bytes, received: response_bytes };
    if (outcome === 'refused') {
      this.#add('sallyport_refusals_total', { sandbox, layer, reason: this.#reason(network.reason) }, 1);
    }
    if (what === 'request') {
      const status = status_code === 0 ? 'none' : `${Math.floor(status_code / 100)}xx`;
      this.#add('sallyport_requests_total', { sandbox, outcome, status }, 1);
      this.#bytes('sallyport_request_bytes_total', sandbox, bytes);
      if (outcome === 'failed') {
        this.#add('sallyport_failures_total', { reason: this.#reason(network.reason) }, 1);
      }
    } else if (what === 'flow') {
      this.#add('sallyport_flows_total', { sandbox, outcome }, 1);
      if (outcome === 'opened') this.#open += 1;
      if (outcome !== 'closed') return;
      this.#open = Math.max(0, this.#open - 1);
      this.#bytes('sallyport_flow_bytes_total', sandbox, bytes);
    } else if (what === 'dns') this.#add('sallyport_lookups_total', { sandbox, outcome }, 1);
    else if (what === 'tls') this.#add('sallyport_handshakes_total', { sandbox, outcome }, 1);
  }

  #bytes(
    name: CounterName,
    sandbox: string,
    bytes: { readonly sent: number; readonly received: number },
  ): void {
    for (const [direction, value] of Object.entries(bytes)) this.#add(name, { sandbox, direction }, value);
  }

  #reason(reason: string | null): string {
    const known = reason ?? 'unknown';
    if (!this.#reasons.has(known) && this.#reasons.size >= MAX_REASONS) return OTHER;
    this.#reasons.add(known);
    return known;
  }

  #sandbox(id: string | null): string {
    if (id === null) return '';
    this.#sandboxes.delete(id);
    this.#sandboxes.set(id, true);
    if (this.#sandboxes.size > this.#limits.sandboxes) {
      const [silent] = this.#sandboxes.keys();
      if (silent !== undefined) this.#merge(silent);
    }
    return id;
  }

  /** The counts of `sandbox` go to `other`. */
  #merge(sandbox: string): void {
    this.#sandboxes.delete(sandbox);
    for (const [name, cells] of this.#cells) {
      for (const [key, { labels, value }] of cells) {
        if (labels.sandbox !== sandbox) continue;
        cells.delete(key);
        this.#add(name, { ...labels, sandbox: OTHER }, value);
      }
    }
  }

  #add(name: CounterName, labels: Labels, value: number): void {
    const cells = this.#cells.get(name) ?? new Map<string, Cell>();
    this.#cells.set(name, cells);
    const key = Object.values(labels).join('\0');
    const cell = cells.get(key);
    if (cell === undefined) cells.set(key, { labels, value });
    else cell.value += value;
  }
}

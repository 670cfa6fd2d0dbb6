/**
 * Keeps the values of secrets up to date while the gateway runs: files are watched, tokens renewed before they end,
 * other sources asked as often as `refresh` says. A shell: one timer a secret, and none where nothing can change.
 *
 * A value that its source says is gone goes at once; one whose source cannot be asked stays until the end of its life.
 */
import type { Clock } from '../../core/clock.js';
import { reveal } from '../secret.js';
import { loadedSecret, type SecretSpec } from '../spec.js';
import type { LoadedSecret, SecretSet } from '../store.js';
import type { Fetcher } from './fetcher.js';
import { FileWatch } from './file-watch.js';
import type { Fresh } from './load.js';
import { lifeOf, renewalDelay, retryDelay } from './schedule.js';
import type { Fetched, Given } from './source.js';

/** A secret whose value changed, or went. */
export interface SecretChange {
  readonly secret: string;
  /** Null: there is a new value. Otherwise why there is none; never what it was. */
  readonly lost: string | null;
  readonly set: SecretSet;
}

export interface FeedOptions {
  readonly fetcher: Fetcher;
  readonly clock: Clock;
  readonly onChange: (change: SecretChange) => void;
  /** How often files are looked at beside the watches. */
  readonly lookMs?: number;
}

interface Slot {
  readonly spec: SecretSpec;
  loaded: LoadedSecret | null;
  /** On the monotonic clock; null: no end. */
  endsAt: number | null;
  /** As the source last said. */
  againMs: number | null;
  failures: number;
  busy: boolean;
  /** Something happened while it was busy. */
  again: boolean;
  timer: NodeJS.Timeout | null;
}

type Terms = Pick<Given, 'lifeMs' | 'againMs'>;

const NO_END: Terms = { lifeMs: null };

export class SecretFeed {
  readonly #options: FeedOptions;
  readonly #slots: readonly Slot[];
  readonly #watches: readonly FileWatch[];
  readonly #unavailable = new Map<string, string>();
  #closed = false;

  constructor(specs: readonly SecretSpec[], fresh: ReadonlyMap<string, Fresh>, options: FeedOptions) {
    this.#options = options;
    this.#slots = specs.map(spec => {
      const slot: Slot = {
        ...{ spec, loaded: fresh.get(spec.name)?.loaded ?? null, endsAt: null, againMs: null },
        ...{ failures: 0, busy: false, again: false, timer: null },
      };
      this.#settle(slot, fresh.get(spec.name) ?? NO_END);
      return slot;
    });
    this.#watches = this.#slots.flatMap(slot => {
      const { valueFrom } = slot.spec;
      if (valueFrom.kind !== 'file') return [];
      return [new FileWatch(valueFrom.path, () => void this.#renew(slot), options.lookMs)];
    });
  }

  /** Secrets that have no value now, and why. */
  get unavailable(): ReadonlyMap<string, string> {
    return this.#unavailable;
  }

  close(): void {
    this.#closed = true;
    for (const { timer } of this.#slots) clearTimeout(timer ?? undefined);
    for (const watch of this.#watches) watch.close();
  }

  async #renew(slot: Slot): Promise<void> {
    slot.again = true;
    if (slot.busy) return;
    slot.busy = true;
    clearTimeout(slot.timer ?? undefined);
    while (slot.again && !this.#closed) {
      slot.again = false;
      const fetched = await this.#options.fetcher.fetch(slot.spec);
      if (!this.#closed) this.#take(slot, fetched);
    }
    slot.busy = false;
  }

  #take(slot: Slot, fetched: Fetched): void {
    if (!fetched.ok) {
      this.#fail(slot, fetched.error.message, fetched.error.gone);
      return;
    }
    const loaded = loadedSecret(slot.spec, fetched.value.value);
    if (loaded.ok) this.#replace(slot, loaded.value, fetched.value);
    else this.#fail(slot, loaded.error.message, true);
  }

  #replace(slot: Slot, loaded: LoadedSecret, terms: Terms): void {
    slot.failures = 0;
    this.#settle(slot, terms);
    const same = slot.loaded !== null && reveal(slot.loaded.secret) === reveal(loaded.secret);
    if (same) return;
    slot.loaded = loaded;
    this.#unavailable.delete(slot.spec.name);
    this.#tell(slot, null);
  }

  #fail(slot: Slot, message: string, gone: boolean): void {
    slot.failures += 1;
    const left = slot.endsAt === null ? null : slot.endsAt - this.#options.clock.monotonic();
    const { refreshMs, valueFrom } = slot.spec;
    const renewed = refreshMs != null || slot.againMs !== null || slot.endsAt !== null;
    if (renewed && valueFrom.kind !== 'file') this.#later(slot, retryDelay(slot.failures, left));
    const over = gone || (left !== null && left <= 0);
    if (!over || slot.loaded === null) return;
    slot.loaded = null;
    this.#unavailable.set(slot.spec.name, message);
    this.#tell(slot, message);
  }

  #settle(slot: Slot, { lifeMs, againMs = null }: Terms): void {
    const refreshMs = slot.spec.refreshMs ?? null;
    const life = lifeOf(refreshMs, lifeMs);
    slot.endsAt = life === null ? null : this.#options.clock.monotonic() + life;
    slot.againMs = againMs;
    const delay = renewalDelay(refreshMs, lifeMs, againMs);
    if (delay !== null) this.#later(slot, delay);
  }

  #later(slot: Slot, delayMs: number): void {
    clearTimeout(slot.timer ?? undefined);
    slot.timer = setTimeout(() => void this.#renew(slot), delayMs).unref();
  }

  #tell({ spec }: Slot, lost: string | null): void {
    const present = this.#slots.flatMap(({ loaded }) => (loaded === null ? [] : [loaded]));
    const set = new Map(present.map(loaded => [loaded.secret.name, loaded] as const));
    this.#options.onChange({ secret: spec.name, lost, set });
  }
}

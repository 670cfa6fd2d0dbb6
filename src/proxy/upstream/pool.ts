/**
 * Connections that may be used again, by who may use them.
 *
 * Pure: time is passed in, milliseconds of a monotonic clock. A key holds the sandbox, the authority, the protocol
 * wished for and the policy's generation: a connection never serves a second sandbox, and never outlives the policy
 * that allowed its address. An HTTP/1 connection is in the pool while it is idle, an HTTP/2 connection while it is open.
 */
import type { Endpoint } from '../../core/address.js';
import type { SandboxId } from '../../net/flow.js';
import type { HttpConnection } from '../connection.js';

export interface PoolLimits {
  /** Idle connections in all; the one that has been idle longest makes room. */
  readonly maxIdle: number;
  readonly maxIdlePerKey: number;
  readonly idleMs: number;
  /** A connection older than this takes no new request: names move, certificates expire. */
  readonly maxAgeMs: number;
}

/**
 * As many for one key as a busy client has connections: each one that is closed too early is a handshake on the next
 * request, which costs as much as twenty requests.
 */
export const POOL_LIMITS: PoolLimits = {
  maxIdle: 256,
  maxIdlePerKey: 128,
  idleMs: 30_000,
  maxAgeMs: 300_000,
};

export interface Pooled {
  readonly key: string;
  readonly sandbox: SandboxId;
  readonly connection: HttpConnection;
  readonly dialled: Endpoint;
  readonly openedAt: number;
  /** Requests that are on it. */
  inFlight: number;
  /** When the last request ended. */
  idleSince: number;
  /** Its neighbours among those that are idle, which `IdleLine` keeps. */
  before: Pooled | null;
  after: Pooled | null;
}

/** What is known of a connection when it is opened. */
export type Opened = Pick<Pooled, 'key' | 'sandbox' | 'connection' | 'dialled' | 'openedAt'>;

/**
 * Idle since, in order: the first has been idle longest. Links in the entries, not a set: one that is taken from and
 * added to for every request makes a new table each time it is full, and each old one keeps all that came after it.
 */
class IdleLine {
  first: Pooled | null = null;
  size = 0;
  #last: Pooled | null = null;

  add(entry: Pooled): void {
    if (this.has(entry)) return;
    entry.before = this.#last;
    if (this.#last === null) this.first = entry;
    else this.#last.after = entry;
    this.#last = entry;
    this.size += 1;
  }

  has(entry: Pooled): boolean {
    return entry.before !== null || this.first === entry;
  }

  delete(entry: Pooled): void {
    if (!this.has(entry)) return;
    const { before, after } = entry;
    if (before === null) this.first = after;
    else before.after = after;
    if (after === null) this.#last = before;
    else after.before = before;
    entry.before = null;
    entry.after = null;
    this.size -= 1;
  }
}

export class Pool {
  readonly #limits: PoolLimits;
  /** What `take` chooses from, per key, in the order of becoming available. */
  readonly #available = new Map<string, Pooled[]>();
  /** Everything that is open, so that `close` finds it. */
  readonly #open = new Set<Pooled>();
  readonly #idle = new IdleLine();

  constructor(limits: PoolLimits) {
    this.#limits = limits;
  }

  get idleCount(): number {
    return this.#idle.size;
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** Counts a new connection, with one request on it. */
  add({ key, sandbox, connection, dialled, openedAt }: Opened): Pooled {
    const entry: Pooled = {
      key,
      sandbox,
      connection,
      dialled,
      openedAt,
      idleSince: openedAt,
      inFlight: 1,
      before: null,
      after: null,
    };
    this.#open.add(entry);
    if (isShared(entry)) this.#offer(entry);
    return entry;
  }

  /** A connection that may take one more request now, the most recently used first; counted as in use. */
  take(key: string, now: number): Pooled | null {
    const list = this.#available.get(key);
    if (list === undefined) return null;
    for (let i = list.length - 1; i >= 0; i--) {
      const entry = list[i];
      if (entry === undefined) continue;
      if (entry.connection.closed || this.#isAged(entry, now) || this.#isStale(entry, now)) {
        this.#retire(entry);
      } else if (entry.connection.ready) {
        if (!isShared(entry)) this.#withdraw(entry);
        this.#idle.delete(entry);
        entry.inFlight++;
        return entry;
      }
    }
    return null;
  }

  /** One request on `entry` has ended, in whatever way. */
  release(entry: Pooled, now: number): void {
    entry.inFlight--;
    if (entry.inFlight > 0 || !this.#open.has(entry)) return;
    entry.idleSince = now;
    const isUsable = entry.connection.ready && !this.#isAged(entry, now);
    if (!isUsable || (!isShared(entry) && !this.#offer(entry))) return void this.discard(entry);
    this.#idle.add(entry);
    if (this.#idle.size > this.#limits.maxIdle) this.#discardOldest();
  }

  /** Closes `entry` and forgets it. */
  discard(entry: Pooled): void {
    this.forget(entry);
    entry.connection.close();
  }

  /** Forgets `entry`, which closed by itself or is no HTTP connection any longer. */
  forget(entry: Pooled): void {
    this.#open.delete(entry);
    this.#idle.delete(entry);
    this.#withdraw(entry);
    if (this.#available.get(entry.key)?.length === 0) this.#available.delete(entry.key);
  }

  /** Closes whatever belongs to `sandbox`, which has ended. */
  closeSandbox(sandbox: SandboxId): void {
    for (const entry of this.#open) if (entry.sandbox === sandbox) this.discard(entry);
  }

  /** Closes what has been idle for too long; to be called now and then. */
  sweep(now: number): void {
    for (let entry = this.#idle.first; entry !== null; entry = this.#idle.first) {
      if (!this.#isStale(entry, now)) return;
      this.discard(entry);
    }
  }

  close(): void {
    for (const entry of this.#open) this.discard(entry);
  }

  #isStale(entry: Pooled, now: number): boolean {
    return entry.inFlight === 0 && now - entry.idleSince > this.#limits.idleMs;
  }

  #isAged(entry: Pooled, now: number): boolean {
    return now - entry.openedAt > this.#limits.maxAgeMs;
  }

  /** No new request for it; closed now or when its last request ends. */
  #retire(entry: Pooled): void {
    if (entry.inFlight === 0) this.discard(entry);
    else this.#withdraw(entry);
  }

  #offer(entry: Pooled): boolean {
    const list = this.#available.get(entry.key);
    if (list === undefined) this.#available.set(entry.key, [entry]);
    else if (list.length >= this.#limits.maxIdlePerKey && !isShared(entry)) return false;
    else list.push(entry);
    return true;
  }

  #withdraw(entry: Pooled): void {
    const list = this.#available.get(entry.key);
    const at = list?.lastIndexOf(entry) ?? -1;
    if (list === undefined || at < 0) return;
    // Most often the last one. An empty list stays for the request's end; it goes with the key's last connection.
    if (at === list.length - 1) list.pop();
    else list.splice(at, 1);
  }

  #discardOldest(): void {
    const { first } = this.#idle;
    if (first !== null) this.discard(first);
  }
}

/** Takes several requests at a time. */
function isShared(entry: Pooled): boolean {
  return entry.connection.protocol === 'h2';
}

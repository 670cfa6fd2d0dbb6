/**
 * Values that are promised for a time, and for as long as a flow uses them.
 *
 * Pure: time is passed in, milliseconds of a monotonic clock. All leases live equally long, so that a Map in order
 * of renewal is also in order of expiry, and the oldest is always its first.
 */
export interface LeaseTerms {
  /** A lease ends no sooner than this after its last renewal. */
  readonly lifeMs: number;
  /** Up to here even an expired lease stays, for programs that remember an answer for longer than its TTL. */
  readonly kept: number;
  readonly max: number;
}

export interface Leases<K, V> {
  find(key: K): V | null;
  /** Grants or renews. False if all leases are in use or in their time: then nothing has changed. */
  grant(key: K, value: V, nowMs: number): boolean;
  /** A flow has begun; an unknown key is ignored. */
  retain(key: K): void;
  release(key: K): void;
  /** Expired leases beyond `kept`, a few of them, are ended, so that there is room for a new one. */
  sweep(nowMs: number): void;
}

interface Lease<V> {
  value: V;
  expiresAtMs: number;
  flows: number;
}

/** Each sweep looks at no more than this many: more than the one grant that follows it, so the table shrinks. */
const SWEPT = 2;

/** `onEnd` hears of every lease that has ended. */
export function createLeases<K, V>(terms: LeaseTerms, onEnd: (key: K, value: V) => void): Leases<K, V> {
  const leases = new Map<K, Lease<V>>();
  const keptBelow = Math.min(terms.kept, terms.max);

  const renew = (key: K, lease: Lease<V>, nowMs: number): void => {
    lease.expiresAtMs = nowMs + terms.lifeMs;
    leases.delete(key);
    leases.set(key, lease);
  };

  return {
    find: key => leases.get(key)?.value ?? null,
    grant: (key, value, nowMs) => {
      const known = leases.get(key);
      if (known === undefined && leases.size >= terms.max) return false;
      const lease = known ?? { value, expiresAtMs: 0, flows: 0 };
      lease.value = value;
      renew(key, lease, nowMs);
      return true;
    },
    retain: key => {
      const lease = leases.get(key);
      if (lease !== undefined) lease.flows += 1;
    },
    release: key => {
      const lease = leases.get(key);
      if (lease !== undefined && lease.flows > 0) lease.flows -= 1;
    },
    sweep: nowMs => {
      for (let i = 0; i < SWEPT && leases.size >= keptBelow; i++) {
        const [oldest] = leases;
        if (oldest === undefined || oldest[1].expiresAtMs > nowMs) return;
        const [key, lease] = oldest;
        // In use: to the end of the row, so that the next sweep does not meet it again.
        if (lease.flows > 0) {
          renew(key, lease, nowMs);
        } else {
          leases.delete(key);
          onEnd(key, lease.value);
        }
      }
    },
  };
}

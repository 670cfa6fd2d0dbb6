/**
 * The interception CA: a TLS context with a leaf for each host that the gateway answers for.
 *
 * A shell: the clock, randomness and, through `ca-store`, files. The CA's key never leaves this object; leaves share
 * one key, made anew in each run, so that a new host costs one signature.
 */
import { X509Certificate } from 'node:crypto';
import type { SecureContext } from 'node:tls';
import { type Clock, systemClock } from '../../core/clock.js';
import { GatewayError } from '../../core/errors.js';
import { type Host, hostText } from '../../core/host.js';
import { ephemeralCa, newKey, openCaStore, randomSerial, type StoredCa } from './ca-store.js';
import { Budget, Lru, type Rate } from './leaf-cache.js';
import { certificatePem, type Issuer, mintLeaf, type Subject, subjectOf } from './mint.js';
import { serverContext } from './server-context.js';

export interface CaOptions {
  readonly clock?: Clock;
  /** New leaves of one sandbox. */
  readonly rate?: Rate;
}

/**
 * `serve`: the policy allows the host. `refuse`: it does not, and the leaf only lets the sandbox read why; such leaves
 * are kept apart, so that a flood of denied names cannot push out the allowed ones.
 */
export type LeafPurpose = 'serve' | 'refuse';

const HOUR_MS = 3_600_000;
const LEAF_LIFETIME_MS = 7 * 24 * HOUR_MS;
/** A leaf with less left is minted again; sandboxes' clocks may run ahead. */
const LEAF_STALE_MS = 24 * HOUR_MS;

const SERVED_LEAVES = 1024;
const REFUSED_LEAVES = 64;
/** Two milliseconds of everybody's time each, with the handshake. */
const DEFAULT_RATE: Rate = { perSecond: 50, burst: 64 };

interface Leaf {
  readonly context: SecureContext;
  readonly staleAt: number;
}

export class Ca {
  /** The CA's certificate: what a sandbox must trust. */
  readonly certPem: string;
  /** Leaves made since the start. */
  minted = 0;
  readonly #issuer: Issuer;
  readonly #notAfter: number;
  readonly #clock: Clock;
  readonly #budget: Budget;
  readonly #leafSubject: Subject;
  readonly #leafKeyPem: string;
  readonly #served = new Lru<string, Leaf>(SERVED_LEAVES);
  readonly #refused = new Lru<string, Leaf>(REFUSED_LEAVES);

  private constructor(stored: StoredCa, clock: Clock, rate: Rate) {
    this.certPem = stored.certPem;
    this.#issuer = stored.issuer;
    this.#notAfter = Date.parse(new X509Certificate(stored.certPem).validTo);
    this.#clock = clock;
    this.#budget = new Budget(rate);
    const leafKey = newKey();
    this.#leafSubject = subjectOf(leafKey);
    // SEC 1 and not PKCS #8: OpenSSL reads it half a millisecond faster, and each context reads it anew.
    this.#leafKeyPem = leafKey.export({ type: 'sec1', format: 'pem' }).toString();
  }

  /** Opens the CA kept in `dir`, or makes it there. Throws `GatewayError` CA_UNSAFE or CONFIG_INVALID. */
  static open(options: CaOptions & { readonly dir: string }): Ca {
    const { dir, clock = systemClock, rate = DEFAULT_RATE } = options;
    return new Ca(openCaStore(dir, clock.now()), clock, rate);
  }

  /** A CA in memory, for demonstrations and tests. */
  static ephemeral(options: CaOptions = {}): Ca {
    const { clock = systemClock, rate = DEFAULT_RATE } = options;
    return new Ca(ephemeralCa(clock.now()), clock, rate);
  }

  /**
   * The context that answers for `host`, minted if need be (about a millisecond, most of it OpenSSL's).
   * Throws `GatewayError` LIMIT_EXCEEDED when the sandbox asks for new names faster than its budget.
   */
  leafContext(host: Host, sandbox: string, purpose: LeafPurpose = 'serve'): SecureContext {
    const name = hostText(host);
    const known = this.#known(name, purpose);
    if (known !== null) return known.context;
    if (!this.#budget.take(sandbox, this.#clock.monotonic())) {
      throw new GatewayError('LIMIT_EXCEEDED', 'the sandbox asks for certificates of new names too fast');
    }
    const leaf = this.#mint(host);
    (purpose === 'serve' ? this.#served : this.#refused).put(name, leaf);
    return leaf.context;
  }

  /** A leaf that was minted to refuse may serve once a rule allows its host, and the other way round. */
  #known(name: string, purpose: LeafPurpose): Leaf | null {
    const served = this.#served.find(name);
    const leaf = served ?? this.#refused.find(name);
    if (leaf === null) return null;
    if (leaf.staleAt <= this.#clock.now()) {
      this.#served.drop(name);
      this.#refused.drop(name);
      return null;
    }
    if (served === null && purpose === 'serve') this.#served.put(name, leaf);
    return leaf;
  }

  #mint(host: Host): Leaf {
    this.minted += 1;
    const now = this.#clock.now();
    const notAfter = Math.min(now + LEAF_LIFETIME_MS, this.#notAfter);
    const validity = { notBefore: now - HOUR_MS, notAfter };
    const der = mintLeaf(this.#issuer, host, this.#leafSubject, randomSerial(), validity);
    const context = serverContext(certificatePem(der), this.#leafKeyPem);
    return { context, staleAt: notAfter - LEAF_STALE_MS };
  }
}

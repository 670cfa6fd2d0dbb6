/**
 * What a recorded run did, gathered by site: what the smallest policy that allows it is made of.
 *
 * Pure. Only what was let through counts; what was refused stays refused, and is not in the policy.
 */
import { parseAddress } from '../../core/address.js';
import { parseUrl } from '../../core/authority.js';
import { hostText, parseHostname } from '../../core/host.js';
import { parseHostPattern } from '../../policy/pattern.js';
import { classifyAddress } from '../../policy/special.js';
import { classifyName } from '../../policy/special-names.js';
import { PathSet } from './path-set.js';
import type { Recorded } from './recorded.js';
import { owned } from './tally.js';

/** One port of one host. */
export interface PortUse {
  /** Paths by method. */
  readonly methods: Map<string, PathSet>;
  /** Bytes that are neither HTTP nor TLS. */
  opaque: boolean;
  /** TLS that passed by its name, unread. */
  passthrough: boolean;
  /** One request, for an example. */
  sample: { readonly method: string; readonly url: string } | null;
}

/** One host, by its canonical text. */
export interface Site {
  readonly host: string;
  readonly ports: Map<number, PortUse>;
  /** Addresses that are closed by default, as they were dialled: `10.1.2.3:8443`. */
  readonly closed: Set<string>;
  /** Looked up; perhaps never connected to. */
  lookedUp: boolean;
}

export interface Gathered {
  readonly sites: ReadonlyMap<string, Site>;
  /** By secret: `https://host:port` where it was filled in. */
  readonly secrets: ReadonlyMap<string, ReadonlySet<string>>;
  readonly allowMetadata: boolean;
  /** A literal address was reached that only `block_private_ips: false` opens. */
  readonly openSpecial: boolean;
  /** Events that were let through and are in the policy. */
  readonly events: number;
  /** Hosts that found no room: the policy does not allow them. */
  readonly leftOut: number;
}

const MOST_SITES = 5_000;
const MOST_CLOSED = 16;

export class Gatherer implements Gathered {
  readonly sites = new Map<string, Site>();
  readonly secrets = new Map<string, Set<string>>();
  allowMetadata = false;
  openSpecial = false;
  events = 0;
  leftOut = 0;

  add(recorded: Recorded): void {
    if (recorded.denied) return;
    const { type } = recorded;
    if (type === 'dns.answered') this.#lookedUp(recorded);
    else if (type === 'flow.closed') this.#flow(recorded);
    else if (type === 'tls.done') this.#handshake(recorded);
    else if (type === 'request.done' || type === 'request.failed') this.#request(recorded);
  }

  #lookedUp({ host, rule }: Recorded): void {
    if (rule === null) return;
    const site = this.#site(host);
    if (site !== null) site.lookedUp = true;
  }

  /** A flow that was dialled itself carried bytes that nobody read. */
  #flow({ host, port, destination, protocol }: Recorded): void {
    const use = destination === null ? null : this.#use(host, port);
    if (use === null) return;
    if (protocol === 'tcp') use.opaque = true;
    else use.passthrough = true;
    this.#dialled(host, destination);
  }

  #handshake({ host, port, protocol }: Recorded): void {
    if (protocol !== 'tls/passthrough') return;
    const use = this.#use(host, port);
    if (use !== null) use.passthrough = true;
  }

  #request({ method, url, destination, secrets }: Recorded): void {
    // Where a long url was cut, its path is not known.
    const whole = parseUrl(url);
    const parsed = whole.ok ? whole : parseUrl(originOf(url));
    if (!parsed.ok) return;
    const { authority, path } = parsed.value;
    const host = hostText(authority.host);
    const use = this.#use(host, authority.port);
    if (use === null) return;
    let paths = use.methods.get(method);
    if (paths === undefined) {
      paths = new PathSet();
      use.methods.set(owned(method), paths);
    }
    paths.add(whole.ok ? path : '*');
    if (whole.ok) noteSample(use, { method, url: url.replace(/\?.*$/s, '') });
    this.#dialled(host, destination);
    const where = `${authority.scheme}://${host}:${authority.port}`;
    for (const secret of secrets) noteSecret(this.secrets, secret, where);
  }

  #dialled(host: string, destination: string | null): void {
    if (destination === null) return;
    const address = parseAddress(destination.slice(0, destination.lastIndexOf(':')).replace(/^\[|\]$/g, ''));
    const kind = address.ok ? classifyAddress(address.value).kind : 'global';
    if (kind === 'global') return;
    if (kind === 'metadata') this.allowMetadata = true;
    else if (!parseHostname(host).ok) this.openSpecial ||= kind === 'special';
    else {
      const closed = this.sites.get(host)?.closed;
      if (closed !== undefined && closed.size < MOST_CLOSED) closed.add(owned(destination));
    }
  }

  #use(host: string, port: number): PortUse | null {
    const site = this.#site(host);
    if (site === null || port === 0) return null;
    let use = site.ports.get(port);
    if (use === undefined) {
      use = { methods: new Map(), opaque: false, passthrough: false, sample: null };
      site.ports.set(port, use);
    }
    return use;
  }

  #site(host: string): Site | null {
    this.events += 1;
    const known = this.sites.get(host);
    if (known !== undefined) return known;
    const name = parseHostname(host);
    // A name may have a hyphen where no rule can: it is reached by a wildcard alone.
    const isNamed = (name.ok || parseAddress(host).ok) && parseHostPattern(host).ok;
    if (!isNamed || this.sites.size >= MOST_SITES) {
      this.leftOut += 1;
      return null;
    }
    if (name.ok && classifyName(name.value) === 'metadata') this.allowMetadata = true;
    const site: Site = { host: owned(host), ports: new Map(), closed: new Set(), lookedUp: false };
    this.sites.set(site.host, site);
    return site;
  }
}

/** The first in order, so that the order of the record does not show. */
function noteSample(use: PortUse, sample: NonNullable<PortUse['sample']>): void {
  const key = ({ method, url }: typeof sample): string => `${url} ${method}`;
  if (use.sample !== null && key(sample) >= key(use.sample)) return;
  use.sample = { method: owned(sample.method), url: owned(sample.url) };
}

function originOf(url: string): string {
  const slash = url.indexOf('/', url.indexOf('://') + 3);
  return slash < 0 ? url : url.slice(0, slash);
}

function noteSecret(secrets: Map<string, Set<string>>, secret: string, where: string): void {
  const known = secrets.get(secret);
  if (known === undefined) secrets.set(owned(secret), new Set([where]));
  else known.add(where);
}

/**
 * Recorded events against a candidate policy: what would come out otherwise.
 *
 * Pure. Each event is the question that it was then: a look-up, a flow of unread bytes, a handshake, a request and the
 * address that was dialled for it. What was not the rules' doing (a leak, a script, a limit, an upstream that failed)
 * is compared by what the rules had said.
 */
import { addressFromBytes, type Endpoint, parseAddress } from '../../core/address.js';
import { type Authority, authorityText, parseUrl } from '../../core/authority.js';
import { type Host, type Hostname, hostText, parseHostname } from '../../core/host.js';
import { ok } from '../../core/result.js';
import { decide } from '../../policy/decide.js';
import type { Policy, PolicyDocument } from '../../policy/policy.js';
import type { Question, Verdict } from '../../policy/question.js';
import { DENY_REASONS } from '../../policy/reasons.js';
import { enforced } from '../../policy/shadow.js';
import { isPrivateBlock } from '../../policy/special.js';
import { Reach } from './reach.js';
import type { Recorded } from './recorded.js';
import { owned, Tally } from './tally.js';

/** One kind of change: what was asked, and why it would come out otherwise. */
export interface Change {
  /** `GET https://api.example.com/v1/x`, `look-up of example.com`, `flow to 10.0.0.1:22`. */
  readonly subject: string;
  /** Newly denied: the candidate's; newly allowed: why it was refused. */
  readonly reason: string;
  readonly rule: string | null;
  times: number;
}

export interface Replay {
  /** Takes the facts of one event. */
  add(recorded: Recorded): void;
  /** Events asked about. */
  readonly asked: number;
  readonly newlyAllowed: ReadonlyChanges;
  readonly newlyDenied: ReadonlyChanges;
  /** Rules that decided nothing, in the order of the policy. */
  unusedRules(): readonly string[];
  readonly reach: Reach;
}

export interface ReadonlyChanges {
  readonly total: number;
  /** Changes of different kinds that found no room in the list. */
  readonly uncounted: number;
  ranked(): readonly Change[];
}

/** `layers`: what `policy` was compiled of. A candidate in shadow is asked as it will be enforced. */
export function createReplay(policy: Policy, layers: readonly PolicyDocument[]): Replay {
  return new PolicyReplay(enforced(policy), layers);
}

/** Subjects told apart. */
const MOST_CHANGES = 10_000;

/** Authorities and addresses repeat, and reading one costs as much as deciding on it. */
const MOST_READ = 4_096;

/** Addresses of one host. */
const MOST_DIALLED = 64;

class PolicyReplay implements Replay {
  readonly #policy: Policy;
  readonly #layers: readonly PolicyDocument[];
  readonly #used = new Set<string>();
  readonly #origins = new Map<string, Origin | null>();
  /** By where it leads, what was dialled for it, and what the candidate says to that. */
  readonly #dials = new Map<string, Map<string, Verdict | null>>();
  readonly newlyAllowed = new Changes();
  readonly newlyDenied = new Changes();
  readonly reach = new Reach();
  asked = 0;

  constructor(policy: Policy, layers: readonly PolicyDocument[]) {
    this.#policy = policy;
    this.#layers = layers;
  }

  add(recorded: Recorded): void {
    const was = outcomeOf(recorded);
    if (was === null) return;
    const question = this.#questionOf(recorded);
    if (question === null) return;
    this.asked += 1;
    const verdict = this.#answer(question, recorded);
    if (question.ask === 'request') this.#noteSecrets(recorded, verdict);
    if (verdict.allow === was.allowed || was.by === 'others') return;
    const text = subjectOf(question);
    if (!verdict.allow) this.newlyDenied.note(text, verdict.reason, verdict.rule);
    else if (!this.#staysRefused(recorded, question))
      this.newlyAllowed.note(text, recorded.reason ?? '', verdict.rule);
  }

  unusedRules(): readonly string[] {
    return this.#layers
      .flatMap(layer => [...layer.allowDomain, ...layer.denyDomain, ...layer.allowCidr, ...layer.denyCidr])
      .map(({ label }) => label)
      .filter(label => !this.#used.has(label));
  }

  #answer(question: Question, { destination, reason, protocol, type }: Recorded): Verdict {
    const verdict = this.#ask(question);
    if (!verdict.allow) return verdict;
    // These bytes were neither HTTP nor TLS: they pass only where what is not read may pass.
    const unread = reason === 'not-inspectable' || (type === 'flow.closed' && protocol === 'tcp');
    if (unread && question.ask === 'open' && verdict.via === 'inspect') return unreadable(verdict.rule);
    // What goes through the operator's proxy is dialled there, and the address of the name is not ours to judge.
    if (destination === null || this.#policy.proxy !== null) return verdict;
    const dialled = this.#dial(question, destination);
    return dialled === null || dialled.allow ? verdict : dialled;
  }

  /** Null: nobody can say what was dialled. The same few addresses come again and again. */
  #dial(question: Question, destination: string): Verdict | null {
    const host = hostOf(question);
    if (host === null) return null;
    const known = remembered(this.#dials, hostText(host), MOST_READ, () => new Map<string, Verdict | null>());
    return remembered(known, destination, MOST_DIALLED, text => {
      const endpoint = parseEndpoint(text);
      return endpoint === null ? null : this.#ask({ ask: 'dial', host, endpoint });
    });
  }

  #ask(question: Question): Verdict {
    const verdict = decide(this.#policy, question);
    if (verdict.rule !== null) this.#used.add(verdict.rule);
    return verdict;
  }

  /**
   * Whether the address that a name led to, which no event tells, is refused by the candidate too: so long as nothing
   * in it lifts what is closed by default, or a deny rule for addresses is still there.
   */
  #staysRefused({ reason, rule }: Recorded, question: Question): boolean {
    const host = question.ask === 'request' || question.ask === 'open' ? hostOf(question) : null;
    if (host === null || host.kind === 'ip') return false;
    if (reason === 'deny-rule' && rule?.includes('cidr')) {
      return this.#layers.some(({ denyCidr }) => denyCidr.length > 0);
    }
    if (!OF_ADDRESSES.has(reason ?? '')) return false;
    const { blockPrivateIps, allowMetadata, addHosts } = this.#policy;
    return blockPrivateIps && !allowMetadata && !addHosts.has(host.name) && !this.#layers.some(lifts);
  }

  #noteSecrets({ secrets, type, url }: Recorded, verdict: Verdict): void {
    const possible = verdict.allow ? verdict.secrets : [];
    if (secrets.length === 0 && possible.length === 0) return;
    const where = this.#originOf(url)?.text ?? '';
    // What a leak names went nowhere.
    if (type !== 'request.refused') this.reach.carried(secrets, where);
    this.reach.possible(possible, where);
  }

  #questionOf({ layer, method, url, host, port }: Recorded): Question | null {
    if ((layer === 'http' || layer === 'websocket') && method !== 'CONNECT')
      return this.#requestOf(method, url);
    const name = parseHostname(host);
    if (layer === 'dns') return name.ok ? { ask: 'resolve', name: name.value } : null;
    const address = name.ok ? UNSPECIFIED : parseAddress(host);
    if (!address.ok || port === 0) return null;
    const target = { address: address.value, port };
    if (layer === 'tls' && name.ok) return { ask: 'tls', host: name.value, target };
    return { ask: 'open', host: name.ok ? name.value : null, target };
  }

  #requestOf(method: string, url: string): Question | null {
    const origin = this.#originOf(url);
    if (origin === null) return null;
    const slash = pathStart(url);
    return {
      ask: 'request',
      authority: origin.authority,
      method,
      path: slash < 0 ? '/' : url.slice(slash),
    };
  }

  #originOf(url: string): Origin | null {
    const slash = pathStart(url);
    return remembered(this.#origins, slash < 0 ? url : url.slice(0, slash), MOST_READ, parseOrigin);
  }
}

/** An authority, and how it is told. */
interface Origin {
  readonly authority: Authority;
  readonly text: string;
}

function parseOrigin(text: string): Origin | null {
  const parsed = parseUrl(text);
  if (!parsed.ok) return null;
  const { authority } = parsed.value;
  return { authority, text: `${authority.scheme}://${authorityText(authority)}` };
}

function pathStart(url: string): number {
  const scheme = url.indexOf('://');
  return scheme < 0 ? -1 : url.indexOf('/', scheme + 3);
}

const UNSPECIFIED = ok(addressFromBytes(new Uint8Array(4)));

function remembered<T>(known: Map<string, T>, text: string, most: number, read: (text: string) => T): T {
  const before = known.get(text);
  if (before !== undefined) return before;
  const value = read(text);
  if (known.size >= most) known.clear();
  known.set(owned(text), value);
  return value;
}

function unreadable(rule: string): Verdict {
  return { allow: false, rule, reason: 'not-inspectable', hint: '' };
}

/** The layer opens some private address. */
function lifts({ allowCidr, allowDomain }: PolicyDocument): boolean {
  return (
    allowCidr.some(({ block }) => isPrivateBlock(block)) || allowDomain.some(({ host }) => host.kind === 'ip')
  );
}

/** Refusals of an address that a name led to; of the name itself where it is only ever local. */
const OF_ADDRESSES: ReadonlySet<string> = new Set(['private-address', 'metadata-address', 'gateway-address']);

const OF_THE_RULES: ReadonlySet<string> = new Set(DENY_REASONS);

interface Outcome {
  readonly allowed: boolean;
  /** Whose doing it was. Of what others refused nobody can say that the rules would change it. */
  readonly by: 'rules' | 'others';
}

const ALLOWED: Outcome = { allowed: true, by: 'rules' };

/** What came of it then; null: the event asks nothing, or another one asks it. */
function outcomeOf({ type, reason, rule, destination, layer }: Recorded): Outcome | null {
  switch (type) {
    case 'dns.answered':
      // Without a rule it was the sandbox's own loopback, or an address of ours.
      return rule === null ? null : ALLOWED;
    case 'request.done':
    case 'request.failed':
    case 'tls.done':
      return ALLOWED;
    case 'dns.refused':
    case 'tls.refused':
    case 'request.refused':
    case 'flow.refused':
      return { allowed: false, by: OF_THE_RULES.has(reason ?? '') ? 'rules' : 'others' };
    case 'flow.closed':
      // Only a tunnel's flow is dialled itself; the others are their requests.
      return layer === 'tcp' && destination !== null ? ALLOWED : null;
    default:
      return null;
  }
}

function hostOf(question: Question): Host | null {
  switch (question.ask) {
    case 'request':
      return question.authority.host;
    case 'open':
      return question.host === null ? { kind: 'ip', address: question.target.address } : named(question.host);
    case 'tls':
      return named(question.host);
    case 'resolve':
      return named(question.name);
    case 'dial':
      return question.host;
  }
}

function named(name: Hostname): Host {
  return { kind: 'name', name };
}

/** `1.2.3.4:443`, `[v6]:443`. */
function parseEndpoint(text: string): Endpoint | null {
  const colon = text.lastIndexOf(':');
  const address = parseAddress(text.slice(0, colon).replace(/^\[|\]$/g, ''));
  return address.ok ? { address: address.value, port: Number(text.slice(colon + 1)) } : null;
}

function subjectOf(question: Question): string {
  switch (question.ask) {
    case 'request': {
      const { authority, method, path } = question;
      const query = path.indexOf('?');
      return `${method} ${authority.scheme}://${authorityText(authority)}${query < 0 ? path : path.slice(0, query)}`;
    }
    case 'resolve':
      return `look-up of ${question.name}`;
    case 'tls':
      return `TLS to ${question.host}:${question.target.port}`;
    case 'open':
      return `flow to ${question.host ?? question.target.address.text}:${question.target.port}`;
    case 'dial':
      return `dialling ${hostText(question.host)}`;
  }
}

class Changes implements ReadonlyChanges {
  readonly #tally = new Tally<{ change: Change | null; times: number }>(
    () => ({ change: null, times: 0 }),
    MOST_CHANGES,
  );
  total = 0;

  note(subject: string, reason: string, rule: string | null): void {
    this.total += 1;
    const entry = this.#tally.at(`${subject}\0${reason}\0${rule}`);
    entry.change ??= { subject: owned(subject), reason: owned(reason), rule, times: 0 };
    entry.times += 1;
  }

  get uncounted(): number {
    return this.#tally.rest?.times ?? 0;
  }

  ranked(): readonly Change[] {
    return this.#tally
      .ranked(({ times }) => times)
      .flatMap(([, { change, times }]) => (change === null ? [] : [{ ...change, times }]));
  }
}

/**
 * The judgement: one question, one verdict.
 *
 * Pure and total: it never throws and denies by default. Precedence: the floor (the gateway's own listeners, cloud
 * metadata, loopback) before deny before allow before `mode`.
 */
import { type Endpoint, endpointText, type IpAddress, unmapped } from '../core/address.js';
import { type Authority, DEFAULT_PORT, type Scheme } from '../core/authority.js';
import { type Host, type Hostname, hostText } from '../core/host.js';
import { denied } from './deny.js';
import { ANY_PORT, type Ask, coversPort, judge } from './judge.js';
import type { HostPin, Policy, SecretScope } from './policy.js';
import type { Allow, Question, Verdict } from './question.js';
import type { Scope } from './scope.js';
import { type AddressKind, classifyAddress } from './special.js';
import { classifyName } from './special-names.js';

/** Null is the policy that failed to load: it denies everything. */
export function decide(policy: Policy | null, question: Question): Verdict {
  if (policy === null) return denied.noPolicy();
  switch (question.ask) {
    case 'resolve':
      return decideName(policy, question.name, { port: ANY_PORT, request: null });
    case 'open':
      return question.host === null
        ? decideAddress(policy, question.target, { port: question.target.port, request: null })
        : decideName(policy, question.host, { port: question.target.port, request: null });
    case 'tls':
      return decideTls(policy, question.host, question.target.port);
    case 'request':
      return decideRequest(policy, question.authority, question.method, question.path);
    case 'dial':
      return decideDial(policy, question.host, question.endpoint);
  }
}

function decideTls(policy: Policy, host: Hostname, port: number): Verdict {
  const verdict = decideName(policy, host, { port, request: null, whole: true });
  if (!verdict.allow) return verdict;
  const through = verdict.via === 'tunnel' && policy.passthrough.find(host) !== null;
  return { ...verdict, via: through ? 'tunnel' : 'inspect' };
}

function decideRequest(policy: Policy, authority: Authority, method: string, path: string): Verdict {
  const { host, port } = authority;
  const ask: Ask = { port, request: { method, path } };
  if (host.kind === 'ip')
    return asInspected(decideAddress(policy, { address: host.address, port }, ask), NO_SECRETS);
  const verdict = decideName(policy, host.name, ask);
  return verdict.allow ? asInspected(verdict, secretsFor(policy, host.name, authority)) : verdict;
}

const NO_SECRETS: readonly string[] = Object.freeze([]);

function asInspected(verdict: Verdict, secrets: readonly string[]): Verdict {
  return verdict.allow ? { ...verdict, via: 'inspect', secrets } : verdict;
}

/** The last answer of each scope: a scope is of one policy, and asked for the same port again and again. */
const lastSecrets = new WeakMap<Scope<SecretScope>, Pick<Authority, 'scheme' | 'port'> & SecretNames>();

interface SecretNames {
  readonly secrets: readonly string[];
}

/** The secrets whose scope holds this authority; no address ever is in one. */
function secretsFor(policy: Policy, name: Hostname, { scheme, port }: Authority): readonly string[] {
  const scope = policy.secretScopes.find(name);
  if (scope === null) return NO_SECRETS;
  const last = lastSecrets.get(scope);
  if (last !== undefined && last.port === port && last.scheme === scheme) return last.secrets;
  const secrets = secretsIn(scope, scheme, port);
  lastSecrets.set(scope, { scheme, port, secrets });
  return secrets;
}

function secretsIn(narrowest: Scope<SecretScope>, scheme: Scheme, port: number): readonly string[] {
  let found: Set<string> | null = null;
  for (let scope: Scope<SecretScope> | null = narrowest; scope !== null; scope = scope.outer) {
    for (const rule of scope.rules) {
      if (port !== (rule.port ?? DEFAULT_PORT[scheme]) || (scheme === 'http' && !rule.allowHttp)) continue;
      found ??= new Set();
      found.add(rule.secret);
    }
  }
  return found === null ? NO_SECRETS : Object.freeze([...found]);
}

function decideName(policy: Policy, name: Hostname, ask: Ask): Verdict {
  const kind = classifyName(name);
  if (kind === 'metadata' && !policy.allowMetadata) return denied.metadata(name);
  // What the operator pinned has a meaning, and without `block_private_ips` local names are like all others.
  const local = kind === 'local' && policy.blockPrivateIps && !policy.addHosts.has(name);
  const verdict = judge(
    policy.mode,
    policy.denyNames.find(name),
    policy.allowNames.find(name),
    ask,
    local ? 'named' : 'all',
    name,
  );
  return verdict ?? denied.localName(name);
}

function decideAddress(policy: Policy, { address, port }: Endpoint, ask: Ask): Verdict {
  const plain = unmapped(address);
  const { kind, block } = classifyAddress(plain);
  const floor = addressFloor(policy, plain, port, kind);
  if (floor !== null) return floor;
  if (kind === 'loopback') return denied.loopback(plain.text, block);
  const closed = (kind === 'private' || kind === 'special') && policy.blockPrivateIps;
  const deny = policy.denyAddresses.find(plain);
  const verdict = judge(
    policy.mode,
    deny,
    policy.allowAddresses.find(plain),
    ask,
    closed ? 'lifting' : 'all',
    plain.text,
  );
  return verdict ?? denied.privateAddress(plain.text, block, kind);
}

/** What no rule lifts. */
function addressFloor(policy: Policy, address: IpAddress, port: number, kind: AddressKind): Verdict | null {
  if (isGateway(policy, address, port, kind)) return denied.gateway(address.text, port);
  if (!policy.allowMetadata && kind === 'metadata') return denied.metadata(address.text);
  return null;
}

/** A listener on the unspecified address is one on every loopback address. */
function isGateway(policy: Policy, address: IpAddress, port: number, kind: AddressKind): boolean {
  const own = policy.gatewayEndpoints;
  if (own.size === 0) return false;
  if (own.has(endpointText({ address, port }))) return true;
  return (
    kind === 'loopback' &&
    (own.has(`0.0.0.0:${port}`) ||
      own.has(`[::]:${port}`) ||
      own.has(`127.0.0.1:${port}`) ||
      own.has(`[::1]:${port}`))
  );
}

function decideDial(policy: Policy, host: Host, endpoint: Endpoint): Verdict {
  const address = unmapped(endpoint.address);
  const { port } = endpoint;
  if (host.kind === 'ip') {
    if (unmapped(host.address).text !== address.text)
      return denied.otherAddress(hostText(host), address.text);
    return asInspected(decideAddress(policy, endpoint, { port, request: null }), NO_SECRETS);
  }
  const pin = policy.addHosts.get(host.name);
  // A pin with a port stands in for every port that a rule allows.
  const name = decideName(policy, host.name, { port: pin?.port == null ? port : ANY_PORT, request: null });
  if (!name.allow) return name;
  const { kind, block } = classifyAddress(address);
  const floor = addressFloor(policy, address, port, kind) ?? deniedAddress(policy, address, port);
  if (floor !== null) return floor;
  if (pin !== undefined) return decidePinned(pin, host.name, { address, port });
  if (kind === 'loopback') return denied.loopback(address.text, block);
  if (
    (kind === 'private' || kind === 'special') &&
    policy.blockPrivateIps &&
    !isLifted(policy, address, port)
  ) {
    return denied.privateAddress(address.text, block, kind);
  }
  return asInspected(name, NO_SECRETS);
}

function decidePinned(pin: HostPin, name: Hostname, { address, port }: Endpoint): Verdict {
  const meant = pin.address.text === address.text && (pin.port === null || pin.port === port);
  return meant ? pinned(name) : denied.otherAddress(name, endpointText({ address, port }));
}

function pinned(name: Hostname): Allow {
  return { allow: true, rule: `add_hosts.${name}`, via: 'inspect', secrets: NO_SECRETS };
}

/** Deny rules for addresses hold for what a name resolved to. */
function deniedAddress(policy: Policy, address: IpAddress, port: number): Verdict | null {
  const verdict = judge(
    'allow_all',
    policy.denyAddresses.find(address),
    null,
    { port, request: null },
    'all',
    address.text,
  );
  return verdict?.allow === false ? verdict : null;
}

/**
 * Whether a rule names this private address deliberately. A rule that reads requests does not: it is about the
 * literal address, and a name that leads there is asked about its own paths.
 */
function isLifted(policy: Policy, address: IpAddress, port: number): boolean {
  for (let scope = policy.allowAddresses.find(address); scope !== null; scope = scope.outer) {
    for (const rule of scope.rules) {
      if (rule.lifts && rule.methods === null && rule.paths === null && coversPort(rule, port)) return true;
    }
  }
  return false;
}

/**
 * One case of `ssrf-hosts.json` or `domain-match.json` through the real functions. Pure: addresses are data, and
 * what a name resolves to stands in the case.
 */
import { type IpAddress, parseAddress, unmapped } from '../../../src/core/address.js';
import { type Authority, parseAuthority, parseUrl } from '../../../src/core/authority.js';
import { compile } from '../../../src/policy/compile.js';
import { documentFrom } from '../../../src/policy/document.js';
import { flagsLayer } from '../../../src/policy/flags.js';
import { matchesHost, parseHostPort } from '../../../src/policy/pattern.js';
import type { Policy } from '../../../src/policy/policy.js';
import { walk } from '../../../src/policy/walk.js';

export interface CaseOutcome {
  readonly pass: boolean;
  /** What the gateway did, in the corpus's own words where it has one. */
  readonly seen: string;
}

export interface SsrfCase {
  readonly id: string;
  readonly category: string;
  readonly kind: 'ip' | 'host' | 'url';
  readonly input: string;
  readonly expected: 'blocked' | 'allowed';
  readonly resolves_to?: readonly string[];
}

export interface DomainCase {
  readonly id: string;
  readonly category: string;
  readonly pattern: string;
  readonly host: string;
  readonly expected: 'match' | 'no-match' | 'invalid-host' | 'invalid-pattern';
}

export interface RuleSet {
  readonly id: string;
  readonly allow: readonly string[] | null;
  readonly deny: readonly string[] | null;
  readonly host: string;
  readonly expected: 'allow' | 'deny';
  readonly resolves_to?: readonly string[];
  readonly policyChoice?: string;
}

/** A public address for names of which a case says nothing. */
const PUBLIC = '93.184.215.14';

/** Under the corpus's assumed policy: every domain, private blocked, ports open. */
export function runSsrfCase(item: SsrfCase): CaseOutcome {
  const seen = ssrfOutcome(item);
  return { pass: (seen === 'allowed') === (item.expected === 'allowed'), seen };
}

function ssrfOutcome({ kind, input, resolves_to }: SsrfCase): string {
  if (kind === 'ip') {
    const address = parseAddress(input);
    if (!address.ok) return `blocked: ${address.error}`;
    const host = { kind: 'ip', address: address.value } as const;
    return travel(OPEN_WORLD, { scheme: 'https', host, port: 443 }, '/', []);
  }
  if (kind === 'url') {
    const url = parseUrl(input);
    if (!url.ok) return `blocked: ${url.error}`;
    return travel(OPEN_WORLD, url.value.authority, url.value.path, resolves_to ?? [PUBLIC]);
  }
  const authority = parseAuthority(input, 'https');
  if (!authority.ok) return `blocked: ${authority.error}`;
  return travel(OPEN_WORLD, authority.value, '/', resolves_to ?? []);
}

/** Every question up to the dial of each address; a name without one cannot be dialled. */
function travel(
  policy: Policy | null,
  authority: Authority,
  path: string,
  answers: readonly string[],
): string {
  const addresses = answers.map(parsedAddress);
  const steps = walk(policy, { kind: 'url', authority, method: 'GET', path, addresses });
  const refused = steps.find(step => !step.verdict.allow);
  if (refused !== undefined && !refused.verdict.allow)
    return `blocked: ${refused.question.ask} ${refused.verdict.reason}`;
  return steps.some(step => step.question.ask === 'dial') ? 'allowed' : 'blocked: no address';
}

export function runDomainCase(item: DomainCase): CaseOutcome {
  const seen = domainOutcome(item.pattern, item.host);
  return { pass: seen === item.expected, seen };
}

function domainOutcome(pattern: string, host: string): DomainCase['expected'] | 'index and matcher disagree' {
  const policy = policyOf([pattern], []);
  if (policy === null) return 'invalid-pattern';
  const authority = parseAuthority(host, 'https');
  if (!authority.ok) return 'invalid-host';
  const wanted = authority.value.host;
  const scope =
    wanted.kind === 'name'
      ? policy.allowNames.find(wanted.name)
      : policy.allowAddresses.find(unmapped(wanted.address));
  const single = parseHostPort(pattern);
  if (single.ok && matchesHost(single.value.host, wanted) !== (scope !== null))
    return 'index and matcher disagree';
  return scope === null ? 'no-match' : 'match';
}

export function runRuleSet(set: RuleSet): CaseOutcome {
  const seen = ruleSetOutcome(set);
  return { pass: seen.startsWith(set.expected), seen };
}

function ruleSetOutcome({ allow, deny, host, resolves_to, policyChoice }: RuleSet): string {
  const authority = parseAuthority(host, 'https');
  if (!authority.ok) return `deny: ${authority.error}`;
  // One set says in words what its name resolves to.
  const inWords = /resolves_to=\[([^\]]*)\]/.exec(policyChoice ?? '')?.[1]?.match(/[0-9a-f.:]+/gi);
  const policy = allow === null && deny === null ? null : policyOf(allow ?? [], deny ?? []);
  const outcome = travel(policy, authority.value, '/', resolves_to ?? inWords ?? [PUBLIC]);
  return outcome === 'allowed' ? 'allow' : `deny: ${outcome}`;
}

/** The lists as flags; null where one of them is refused. */
function policyOf(allow: readonly string[], deny: readonly string[]): Policy | null {
  const isBlock = (text: string): boolean => text.includes('/');
  const layer = flagsLayer({
    allow: allow.filter(text => !isBlock(text)),
    allowCidr: allow.filter(isBlock),
    deny: deny.filter(text => !isBlock(text)),
    denyCidr: deny.filter(isBlock),
  });
  if (!layer.ok) return null;
  const policy = compile([layer.value.document]);
  return policy.ok ? policy.value : null;
}

const OPEN_WORLD = openWorld();

function openWorld(): Policy {
  const document = documentFrom({ mode: 'allow_all' }, 'open');
  const policy = document.ok ? compile([document.value]) : document;
  if (!policy.ok) throw new Error('the policy that the corpus assumes does not compile');
  return policy.value;
}

function parsedAddress(text: string): IpAddress {
  const address = parseAddress(text);
  if (!address.ok) throw new Error(`the case resolves to ${text}, which is no address`);
  return address.value;
}

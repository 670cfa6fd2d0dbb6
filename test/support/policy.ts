/** Policies, addresses and questions for tests, from the text that an operator would write. */
import { type Endpoint, type IpAddress, parseAddress } from '../../src/core/address.js';
import { parseUrl } from '../../src/core/authority.js';
import { type Hostname, parseHostname } from '../../src/core/host.js';
import { compile } from '../../src/policy/compile.js';
import { parsePolicy } from '../../src/policy/document.js';
import type { GatewayFacts, Policy } from '../../src/policy/policy.js';
import { problemText } from '../../src/policy/problem.js';
import type { Question } from '../../src/policy/question.js';

/** Compiles YAML; throws with the problems when it does not. */
export function policyOf(yaml: string, facts?: GatewayFacts): Policy {
  const document = parsePolicy(yaml, 'test');
  const policy = document.ok ? compile([document.value], facts) : document;
  if (policy.ok) return policy.value;
  throw new Error(policy.error.map(problem => problemText('test', problem)).join('\n'));
}

export function ip(text: string): IpAddress {
  const address = parseAddress(text);
  if (!address.ok) throw new Error(`${text} is no address`);
  return address.value;
}

export function name(text: string): Hostname {
  const host = parseHostname(text);
  if (!host.ok) throw new Error(`${text} is no name`);
  return host.value;
}

/** `1.2.3.4:443` or `[v6]:443`. */
export function endpoint(text: string): Endpoint {
  const colon = text.lastIndexOf(':');
  return { address: ip(text.slice(0, colon).replace(/^\[|\]$/g, '')), port: Number(text.slice(colon + 1)) };
}

const SYNTHETIC = ip('198.18.0.1');

export const ask = {
  resolve: (host: string): Question => ({ ask: 'resolve', name: name(host) }),
  /** A flow to a name (`name:port`). */
  open: (host: string, port: number): Question => ({
    ask: 'open',
    host: name(host),
    target: { address: SYNTHETIC, port },
  }),
  /** A flow to an address that no name was given out for. */
  openAddress: (target: string): Question => ({ ask: 'open', host: null, target: endpoint(target) }),
  tls: (host: string, port = 443): Question => ({
    ask: 'tls',
    host: name(host),
    target: { address: SYNTHETIC, port },
  }),
  request: (method: string, text: string): Question => {
    const url = parseUrl(text);
    if (!url.ok) throw new Error(`${text} is no URL`);
    return { ask: 'request', authority: url.value.authority, method, path: url.value.path };
  },
  dial: (host: string, target: string): Question => ({
    ask: 'dial',
    host: { kind: 'name', name: name(host) },
    endpoint: endpoint(target),
  }),
  dialAddress: (host: string, target: string): Question => ({
    ask: 'dial',
    host: { kind: 'ip', address: ip(host) },
    endpoint: endpoint(target),
  }),
};

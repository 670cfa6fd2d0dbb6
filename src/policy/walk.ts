/**
 * The questions of one connection in their order, as the corridor would ask them: for `explain`, for the examples
 * beside a policy, and for tests.
 *
 * Pure: what the name resolves to is given, not looked up.
 */
import { addressFromBytes, type Endpoint, type IpAddress } from '../core/address.js';
import { type Authority, authorityText } from '../core/authority.js';
import type { Hostname } from '../core/host.js';
import { decide } from './decide.js';
import type { Policy } from './policy.js';
import type { Question, Verdict } from './question.js';

export interface Journey {
  /** `connect`: bytes that are not HTTP. */
  readonly kind: 'url' | 'connect';
  readonly authority: Authority;
  readonly method: string;
  readonly path: string;
  /** What the name resolves to; null: not known, so the dial is not asked (but for a pin or a literal). */
  readonly addresses: readonly IpAddress[] | null;
}

export interface Step {
  readonly question: Question;
  readonly verdict: Verdict;
}

/** Every question up to and with the first refusal. Never empty. */
export function walk(policy: Policy | null, journey: Journey): readonly Step[] {
  const steps: Step[] = [];
  for (const question of questions(policy, journey, steps)) {
    const verdict = decide(policy, question);
    steps.push({ question, verdict });
    if (!verdict.allow) break;
  }
  return steps;
}

/** What a step asks, in one line for a reader. */
export function questionText(question: Question): string {
  switch (question.ask) {
    case 'resolve':
      return question.name;
    case 'open':
      return `${question.host ?? question.target.address.text} port ${question.target.port}`;
    case 'tls':
      return `${question.host} port ${question.target.port}`;
    case 'request':
      return `${question.method} ${question.authority.scheme}://${authorityText(question.authority)}${question.path}`;
    case 'dial':
      return `${question.endpoint.address.text} port ${question.endpoint.port}`;
  }
}

/** Stands for what the resolver would give out: only its port is decided on. */
const SYNTHETIC = addressFromBytes(Uint8Array.of(198, 18, 0, 1));

function* questions(policy: Policy | null, journey: Journey, steps: readonly Step[]): Generator<Question> {
  const { kind, authority, method, path } = journey;
  const { host, port, scheme } = authority;
  const name = host.kind === 'name' ? host.name : null;
  const target = { address: host.kind === 'ip' ? host.address : SYNTHETIC, port };
  if (name !== null) yield { ask: 'resolve', name };
  yield { ask: 'open', host: name, target };
  if (kind === 'url' && scheme === 'https' && name !== null) yield { ask: 'tls', host: name, target };
  const last = steps.at(-1);
  const through = last?.question.ask === 'tls' && last.verdict.allow && last.verdict.via === 'tunnel';
  // What is passed through by its SNI is never read, so there is no request to decide.
  if (kind === 'url' && !through) yield { ask: 'request', authority, method, path };
  for (const endpoint of endpoints(policy, name, target, journey.addresses))
    yield { ask: 'dial', host, endpoint };
}

function endpoints(
  policy: Policy | null,
  name: Hostname | null,
  target: Endpoint,
  addresses: readonly IpAddress[] | null,
): readonly Endpoint[] {
  if (name === null) return [target];
  const pin = policy?.addHosts.get(name);
  if (pin !== undefined) return [{ address: pin.address, port: pin.port ?? target.port }];
  return (addresses ?? []).map(address => ({ address, port: target.port }));
}

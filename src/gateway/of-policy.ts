/** What the gateway asks of the policy that is in force. Pure. */
import { resolve } from 'node:path';
import type { EventBody } from '../events/event.js';
import { ANY_PORT } from '../net/vestibule/index.js';
import { allowedPorts } from '../policy/compile.js';
import type { Policy } from '../policy/policy.js';

/** Inside each sandbox, for clients that insist on an HTTP proxy: the gate's own address, this port. */
export const PROXY_PORT = 3128;

/** Where values are read from: the sandbox, which has the caller's rights, could read them too. */
export function secretFiles({ secrets }: Policy): readonly string[] {
  return secrets.flatMap(({ valueFrom }) => (valueFrom.kind === 'file' ? [resolve(valueFrom.path)] : []));
}

/** What the vestibule lets through. */
export function portsOf(policy: Policy): readonly { from: number; to: number }[] {
  const ports = allowedPorts(policy);
  return ports === 'any' ? ANY_PORT : [...ports, { from: PROXY_PORT, to: PROXY_PORT }];
}

/** Why the sandbox that `body` tells of is to be stopped: one sentence, or null. */
export function stopReason({ secrets }: Policy, { type, network }: EventBody): string | null {
  if (type !== 'secret.leak') return null;
  const leaked = new Set(network?.secrets);
  const name = secrets.find(secret => secret.onLeak === 'block-and-stop' && leaked.has(secret.name))?.name;
  return name === undefined
    ? null
    : `${name} was on its way to where it may not go (on_leak: block-and-stop)`;
}

/**
 * Secrets that could never be put in under this policy: a mistake that would otherwise show as a placeholder that an
 * upstream refuses. A secret never widens the policy.
 *
 * Pure. Only names in full are judged: of a wildcard nobody can say which names are meant.
 */
import { addressFromBytes } from '../core/address.js';
import { DEFAULT_PORT } from '../core/authority.js';
import type { Hostname } from '../core/host.js';
import { decide } from './decide.js';
import { patternText } from './pattern.js';
import type { Policy } from './policy.js';
import type { Problem } from './problem.js';
import type { SecretSpec } from './secret-spec.js';

/** One problem for each secret whose every host is closed to it, with the rule that closes it. */
export function deadSecrets(policy: Policy): Problem[] {
  return policy.secrets.flatMap(secret => {
    const obstacles = secret.hosts.map(scope => obstacle(policy, secret, scope));
    if (obstacles.length === 0 || obstacles.includes(null)) return [];
    const message = `the secret ${secret.name} could never be used: ${obstacles.join('; ')}`;
    return [{ path: secret.label, message }];
  });
}

/** Why no request to this host can carry the secret; null: one can, or nobody can say. */
function obstacle(
  policy: Policy,
  { allowHttp }: SecretSpec,
  { host, port }: SecretSpec['hosts'][number],
): string | null {
  if (host.kind === 'ip') return `${patternText(host)} is an address, and no address is in scope of a secret`;
  if (host.kind !== 'exact') return null;
  const ports =
    port !== null ? [port] : allowHttp ? [DEFAULT_PORT.https, DEFAULT_PORT.http] : [DEFAULT_PORT.https];
  const obstacles = ports.map(each => obstacleAt(policy, host.name, each));
  return obstacles.includes(null) ? null : obstacles.join(', ');
}

const UNSPECIFIED = addressFromBytes(new Uint8Array(4));

function obstacleAt(policy: Policy, host: Hostname, port: number): string | null {
  const target = { address: UNSPECIFIED, port };
  const open = decide(policy, { ask: 'open', host, target });
  if (!open.allow) return `${host}:${port} is refused by ${open.rule ?? open.reason} (${open.hint})`;
  const tls = decide(policy, { ask: 'tls', host, target });
  return tls.allow && tls.via === 'tunnel' ? `${host}:${port} passes unread by tls.passthrough` : null;
}

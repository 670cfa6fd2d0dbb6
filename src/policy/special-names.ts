/**
 * Names that never mean a public host (RFC 6761, RFC 6762, RFC 7686, RFC 8375, RFC 9476; ICANN's .internal; the
 * cloud providers' documented metadata names).
 *
 * Pure. The address check stands behind this one; it saves the look-up, which would itself say something.
 */
import type { Hostname } from '../core/host.js';

/**
 * - `local`: of this host, its network or no network at all; `*` and `allow_all` do not mean it.
 * - `metadata`: a cloud's control service; only `allow_metadata` lifts it.
 */
export type NameKind = 'ordinary' | 'local' | 'metadata';

export function classifyName(name: Hostname): NameKind {
  const dot = name.lastIndexOf('.');
  if (METADATA.has(name)) return 'metadata';
  // A single label is completed by somebody's search list: it has no one meaning.
  if (dot < 0) return 'local';
  if (LOCAL_TLDS.has(name.slice(dot + 1)))
    return name.endsWith('.metadata.google.internal') ? 'metadata' : 'local';
  return name === 'home.arpa' || name.endsWith('.home.arpa') ? 'local' : 'ordinary';
}

const METADATA: ReadonlySet<string> = new Set([
  'metadata',
  'metadata.google',
  'metadata.google.internal',
  'metadata.goog',
  'instance-data',
  'instance-data.ec2.internal',
  'metadata.azure.internal',
  'metadata.tencentyun.com',
  'metadata.platformequinix.com',
  'metadata.packet.net',
  'rancher-metadata',
]);

const LOCAL_TLDS: ReadonlySet<string> = new Set([
  ...['localhost', 'localdomain', 'local', 'internal', 'intranet', 'private', 'corp', 'home', 'lan', 'mail'],
  // Kubernetes: `svc.cluster.local` ends in `local`.
  ...['svc', 'onion', 'alt', 'invalid'],
]);

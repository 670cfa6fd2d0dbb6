/**
 * Host names and the host part of an authority (RFC 9110 §4.2, RFC 3986 §3.2.2, RFC 1035 §2.3.1).
 *
 * Pure. A host has one reading or it is refused: ASCII letters, digits, hyphen and underscore in labels of 1-63,
 * at most 253 in all, one trailing dot taken off, lower case. A hyphen may stand anywhere, as it does in the DNS
 * (RFC 2181 §11): such names exist, and everybody reads them alike. A name whose last label is numeric or begins
 * with `0x` is somebody's spelling of an address and is never a name.
 */
import { type IpAddress, parseAddress } from './address.js';
import { err, ok, type Result } from './result.js';

/** A canonical host name. Only this file makes one. */
export type Hostname = string & { readonly brand: 'Hostname' };

export type Host =
  | { readonly kind: 'name'; readonly name: Hostname }
  | { readonly kind: 'ip'; readonly address: IpAddress };

export type HostFault = 'empty' | 'too-long' | 'bad-label' | 'bad-character' | 'ambiguous-address' | 'zone';

const LABEL = /^[a-z0-9_-]{1,63}$/;
const HOST_CHARACTERS = /^[A-Za-z0-9._-]*$/;
const NUMERIC_LABEL = /^(?:\d+|0x[0-9a-f]*)$/;

/** Reads a DNS name as a stranger wrote it. An address is `ambiguous-address`. */
export function parseHostname(text: string): Result<Hostname, HostFault> {
  if (text.length === 0) return err('empty');
  if (text.length > 254) return err('too-long');
  // Before lower-casing: U+212A KELVIN SIGN lower-cases to `k`.
  if (!HOST_CHARACTERS.test(text)) return err('bad-character');
  const lower = text.toLowerCase();
  const name = lower.endsWith('.') ? lower.slice(0, -1) : lower;
  if (name.length === 0) return err('empty');
  if (name.length > 253) return err('too-long');
  const labels = name.split('.');
  for (const label of labels) if (!LABEL.test(label)) return err('bad-label');
  if (NUMERIC_LABEL.test(labels[labels.length - 1] ?? '')) return err('ambiguous-address');
  return ok(name as Hostname);
}

/** Reads the host of an authority: a name, a canonical dotted quad, or an IPv6 address in brackets. */
export function parseHost(text: string): Result<Host, HostFault> {
  if (text.startsWith('[')) {
    if (!text.endsWith(']')) return err('bad-character');
    const address = parseAddress(text.slice(1, -1));
    if (!address.ok) return err(address.error === 'zone' ? 'zone' : 'bad-character');
    if (address.value.family !== 6) return err('bad-character');
    return ok({ kind: 'ip', address: address.value });
  }
  const address = text.includes(':') ? null : parseAddress(text);
  if (address?.ok) return ok({ kind: 'ip', address: address.value });
  const name = parseHostname(text);
  return name.ok ? ok({ kind: 'name', name: name.value }) : name;
}

/** The host without brackets: what an event, a rule or a certificate name shows. */
export function hostText(host: Host): string {
  return host.kind === 'name' ? host.name : host.address.text;
}

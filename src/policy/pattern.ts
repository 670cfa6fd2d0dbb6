/**
 * Host patterns as an operator writes them: `example.com`, `*.example.com` (one label or more, never the apex),
 * `*`, or an address. Nothing else is a pattern; what is not one is an error that says what was probably meant.
 *
 * Pure. Names outside ASCII become A-labels once, here (UTS #46, non-transitional); hosts from the wire are
 * never converted.
 */
import { domainToASCII, domainToUnicode } from 'node:url';
import { type IpAddress, parseAddress, unmapped } from '../core/address.js';
import { parsePort } from '../core/authority.js';
import { type Host, type Hostname, parseHostname } from '../core/host.js';
import { err, ok, type Result } from '../core/result.js';
import { quoted } from './problem.js';

export type HostPattern =
  | { readonly kind: 'exact'; readonly name: Hostname }
  /** `*.suffix` */
  | { readonly kind: 'below'; readonly suffix: Hostname }
  | { readonly kind: 'any' }
  | { readonly kind: 'ip'; readonly address: IpAddress };

export interface HostPort {
  readonly host: HostPattern;
  /** Null: none was written. */
  readonly port: number | null;
}

/** Reads one pattern without a port. The error is a sentence for the operator. */
export function parseHostPattern(text: string): Result<HostPattern, string> {
  if (text === '*') return ok({ kind: 'any' });
  const address = parseAddress(text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text);
  if (address.ok && !(text.startsWith('[') && address.value.family === 4)) {
    return ok({ kind: 'ip', address: unmapped(address.value) });
  }
  const wild = text.startsWith('*.');
  const name = parsePatternName(wild ? text.slice(2) : text);
  if (!name.ok) return err(name.error ?? `${quoted(text)} is not a host pattern${suggestion(text)}`);
  return ok(wild ? { kind: 'below', suffix: name.value } : { kind: 'exact', name: name.value });
}

/** Reads `HOST[:PORT]`; an IPv6 address with a port stands in brackets. */
export function parseHostPort(text: string): Result<HostPort, string> {
  const colon = text.lastIndexOf(':');
  const bare = colon < 0 || (text.startsWith('[') ? text.endsWith(']') : text.indexOf(':') !== colon);
  if (bare || text.includes('/')) {
    const host = parseHostPattern(text);
    return host.ok ? ok({ host: host.value, port: null }) : host;
  }
  const host = parseHostPattern(text.slice(0, colon));
  if (!host.ok) return host;
  const port = parsePort(text.slice(colon + 1));
  if (!port.ok) return err(`${quoted(text)}: ${quoted(text.slice(colon + 1))} is not a port (1-65535)`);
  return ok({ host: host.value, port: port.value });
}

/** The pattern in its one canonical spelling: what a rule's label, a hint or a certificate shows. */
export function patternText(pattern: HostPattern): string {
  if (pattern.kind === 'any') return '*';
  if (pattern.kind === 'ip') return pattern.address.text;
  return pattern.kind === 'exact' ? pattern.name : `*.${pattern.suffix}`;
}

/** One pattern against one host. Addresses match only addresses, names only names. */
export function matchesHost(pattern: HostPattern, host: Host): boolean {
  if (host.kind === 'ip')
    return pattern.kind === 'ip' && pattern.address.text === unmapped(host.address).text;
  if (pattern.kind === 'any') return true;
  if (pattern.kind === 'exact') return pattern.name === host.name;
  return pattern.kind === 'below' && host.name.endsWith(`.${pattern.suffix}`);
}

const ASCII = /^[\x00-\x7f]*$/;
const ASCII_IN_IDN = /^[A-Za-z0-9._-]*$/;
/** Hosts may have it; in a pattern it is a slip, or what other tools write for "not this one". */
const HYPHEN_AT_AN_EDGE = /(?:^|\.)-|-(?:\.|$)/;

/** Error null: no better sentence than the general one. */
function parsePatternName(text: string): Result<Hostname, string | null> {
  const unicode = !ASCII.test(text);
  // domainToASCII decodes percent signs and stops at a slash: it gets nothing but letters, digits, hyphens, dots.
  if (unicode && !ASCII_IN_IDN.test(text.replace(/[^\x00-\x7f]/g, ''))) return err(null);
  if (HYPHEN_AT_AN_EDGE.test(text)) return err(null);
  const ascii = unicode ? domainToASCII(text) : text;
  const name = parseHostname(ascii);
  if (!name.ok) {
    return err(
      name.error === 'ambiguous-address'
        ? `${quoted(text)} looks like an address and is not a canonical one`
        : null,
    );
  }
  if (!unicode && !name.value.includes('xn--')) return name;
  const display = domainToUnicode(name.value);
  if (domainToASCII(display) !== name.value) return err(`${quoted(text)} holds an invalid A-label (xn--…)`);
  // Full-width letters, soft hyphens and the like vanish in the mapping: the reader and the matcher would differ.
  const written = text.normalize('NFC').toLowerCase().replace(/\.$/, '');
  if (unicode && (written !== display || foldsToAscii(text))) {
    return err(
      `${quoted(text)} holds characters that have another spelling; did you mean '${display}' (${name.value})?`,
    );
  }
  return name;
}

/** U+212A KELVIN SIGN becomes `k`: such a pattern reads otherwise than it looks. */
function foldsToAscii(text: string): boolean {
  return Array.from(text).some(
    character => !ASCII.test(character) && ASCII.test(character.normalize('NFC').toLowerCase()),
  );
}

/** What the operator probably meant, if that is a pattern. */
function suggestion(text: string): string {
  const guess = text
    .trim()
    .replace(/^[a-z][a-z0-9+.-]*:\/\//i, '')
    .replace(/^.*@/, '')
    .replace(/[/?#].*$/s, '')
    .replace(/^-+/, '')
    .replace(/^(?:\*\*\.?|\*\.?|\.)(?=[^.*])/, '*.');
  if (guess === text || guess === '') return '';
  const fixed = parseHostPort(guess);
  return fixed.ok ? `; did you mean '${guess}'?` : '';
}

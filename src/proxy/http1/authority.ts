/**
 * The one authority of a request (RFC 9110 §7.2, RFC 9112 §3.2): Host, the target, the TLS handshake and the
 * connection must all name the same.
 *
 * Pure but for a memory of the last Host, which on a kept connection is nearly always the next one too.
 */
import type { Endpoint } from '../../core/address.js';
import { type Authority, parseAuthority, type Scheme, sameAuthority } from '../../core/authority.js';
import type { Hostname } from '../../core/host.js';
import { err, type Result } from '../../core/result.js';
import type { RequestFaultCode } from './fault.js';

/** What is known of a connection before its first request. */
export interface ConnectionFacts {
  /** `transparent`: plain HTTP on a flow. `tls`: inside an intercepted handshake. `proxy`: an explicit proxy's port. */
  readonly mode: 'transparent' | 'tls' | 'proxy';
  readonly scheme: Scheme;
  /** The SNI, or the name of the flow; null where the sandbox named an address. */
  readonly name: Hostname | null;
  /** Where the flow was going; not used in mode `proxy`. */
  readonly target: Endpoint;
}

const NO_HOST: Result<Authority, RequestFaultCode> = err('no-host');

export class AuthorityReader {
  readonly #facts: ConnectionFacts;
  #lastText: string | null = null;
  #last = NO_HOST;
  #lastFault: RequestFaultCode | null = null;

  constructor(facts: ConnectionFacts) {
    this.#facts = facts;
  }

  /** `host` is the value of the only Host field; `named` is what absolute-form named. */
  read(host: string | null, named: Authority | null): Result<Authority, RequestFaultCode> {
    if (host === null) return NO_HOST;
    if (host !== this.#lastText) {
      this.#lastText = host;
      this.#last = readHost(host, this.#facts.scheme);
      this.#lastFault = this.#last.ok ? mismatch(this.#last.value, this.#facts) : null;
    }
    const authority = this.#last;
    if (!authority.ok) return authority;
    if (named !== null && !sameAuthority(authority.value, named)) return err('host-and-target-differ');
    return this.#lastFault === null ? authority : err(this.#lastFault);
  }
}

function readHost(text: string, scheme: Scheme): Result<Authority, RequestFaultCode> {
  const authority = parseAuthority(text, scheme);
  return authority.ok ? authority : err('bad-host');
}

/** Why the authority is not one that this connection may ask for, or null. */
function mismatch(authority: Authority, facts: ConnectionFacts): RequestFaultCode | null {
  if (facts.mode === 'proxy' || isOfConnection(authority, facts)) return null;
  return facts.mode === 'tls' ? 'host-not-of-handshake' : 'host-not-of-flow';
}

function isOfConnection({ host, port }: Authority, { mode, name, target }: ConnectionFacts): boolean {
  if (port !== target.port) return false;
  if (name !== null) return host.kind === 'name' && host.name === name;
  // Without SNI the certificate was for the address, so only the address can be meant. On plain HTTP nothing was
  // promised yet: Host decides, and what it names is what is dialled.
  return mode === 'transparent' || (host.kind === 'ip' && host.address.text === target.address.text);
}

/** Reads `host:port` of CONNECT (RFC 9110 §9.3.6). The port must be written. Host must name the same. */
export function readConnectAuthority(
  target: string,
  host: string | null,
): Result<Authority, RequestFaultCode> {
  const authority = parseAuthority(target, 'https', 0);
  if (!authority.ok || authority.value.port === 0) return err('bad-target');
  if (host === null) return NO_HOST;
  const named = parseAuthority(host, 'https', authority.value.port);
  if (!named.ok) return err('bad-host');
  return sameAuthority(authority.value, named.value) ? authority : err('host-and-target-differ');
}

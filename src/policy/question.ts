/**
 * What the corridor asks and what it is told. The five questions follow a connection from the first look-up to
 * the dial; `decide` answers each, is total and pure, and denies by default.
 */
import type { Endpoint } from '../core/address.js';
import type { Authority } from '../core/authority.js';
import type { Host, Hostname } from '../core/host.js';

export type Question =
  /** May this name be looked up at all? Yes if some rule may allow some connection to it. */
  | { readonly ask: 'resolve'; readonly name: Hostname }
  /** A flow has arrived. `host` is the name that our resolver gave out for the target, or null. */
  | { readonly ask: 'open'; readonly host: Hostname | null; readonly target: Endpoint }
  /** A ClientHello names `host` (SNI). `target` is where the flow was going. */
  | { readonly ask: 'tls'; readonly host: Hostname; readonly target: Endpoint }
  /** One request. `path` is the origin-form as it will be sent, query included. */
  | { readonly ask: 'request'; readonly authority: Authority; readonly method: string; readonly path: string }
  /** One address that `host` resolved to (or the literal itself), just before it is dialled. */
  | { readonly ask: 'dial'; readonly host: Host; readonly endpoint: Endpoint };

/** Why not. Codes are API: `docs/reference/reasons.md` lists each, a test keeps the two equal. */
export type DenyReason =
  | 'no-policy' // the policy is absent, empty or failed to load
  | 'no-rule' // no rule allows it and `mode` is block_all
  | 'deny-rule' // a deny rule names it
  | 'port-not-allowed' // the host is allowed, on other ports
  | 'method-not-allowed' // the host is allowed, with other methods
  | 'path-not-allowed' // the host is allowed, on other paths
  | 'path-ambiguous' // a path rule applies and the path has more than one reading
  | 'private-address' // a special-purpose address, with `block_private_ips` on
  | 'metadata-address' // a cloud metadata address: only `allow_metadata` lifts it
  | 'gateway-address' // the gateway's own listeners
  | 'not-inspectable'; // a rule needs to read HTTP and the bytes are not HTTP

export type Verdict = Allow | Deny;

export interface Allow {
  readonly allow: true;
  /** Where the rule stands, as in `allow_domain[2]` or `--allow api.github.com`. */
  readonly rule: string;
  /**
   * `inspect`: only bytes that the gateway reads (HTTP, inside TLS or not) may pass.
   * `tunnel`: at `open`, opaque bytes may pass too; at `tls`, the handshake is passed through by its SNI.
   */
  readonly via: 'inspect' | 'tunnel';
  /** Names of the secrets whose scope holds this authority. Filled for `request` only. */
  readonly secrets: readonly string[];
  /** How much of a content the rule lets the policy script see, in bytes; absent: nothing. For `request` only. */
  readonly scriptBodyBytes?: number;
  /** With `mode: shadow`, what the rules would have answered; absent: they allow it. */
  readonly wouldDeny?: WouldDeny;
}

/** The refusal that was not made. */
export type WouldDeny = Pick<Deny, 'rule' | 'reason' | 'hint'>;

export interface Deny {
  readonly allow: false;
  /** The rule that says no; null where nothing says yes. */
  readonly rule: string | null;
  readonly reason: DenyReason;
  /** One sentence that says what an operator could do. Holds no secret and no control character. */
  readonly hint: string;
}

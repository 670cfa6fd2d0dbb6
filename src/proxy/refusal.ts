/**
 * Answers that the gateway itself gives: a refusal that a person can read (RFC 9110 §15.5.4), or the news that an
 * upstream failed (§15.6). Pure. The text holds what the sandbox said and what the operator wrote, never a value.
 */
import { type Authority, authorityText } from '../core/authority.js';
import { errorCode, type GatewayErrorCode } from '../core/errors.js';
import type { BodyOmitted, Denial } from '../policy/hooks.js';
import type { Deny } from '../policy/question.js';
import type { Leak } from '../secrets/scan.js';
import type { Answer } from './exchange.js';

/** The names of the seeds' errors, so that a client can tell a refusal by its kind. */
export type RefusalError =
  | 'ErrBlocked'
  | 'ErrHostNotAllowed'
  | 'ErrSecretLeak'
  | GatewayErrorCode
  | 'ErrBadRequest';

export interface Refusal {
  readonly status: number;
  readonly error: RefusalError;
  /** The code that the event carries too. */
  readonly reason: string;
  readonly rule: string | null;
  readonly host: string;
  readonly hint: string;
  /** What the event says in place of `hint`: not for the sandbox. */
  readonly detail?: string;
}

/** Refusals of the host itself, whatever is asked of it. */
export const HOST_REASONS: ReadonlySet<string> = new Set(['no-policy', 'no-rule', 'port-not-allowed']);

export function refusalOfVerdict(verdict: Deny, authority: Authority): Refusal {
  return {
    status: 403,
    error: HOST_REASONS.has(verdict.reason) ? 'ErrHostNotAllowed' : 'ErrBlocked',
    reason: verdict.reason,
    rule: verdict.rule,
    host: authorityText(authority),
    hint: verdict.hint,
  };
}

/** A placeholder, or a value, on its way to where it may not go. Names, never values. */
export function refusalOfLeak(leaks: readonly Leak[], authority: Authority): Refusal {
  return leakRefusal(leaks, authorityText(authority));
}

/** The same in a request that was none: `host` is where the connection was opened to. */
export function refusalOfClaim(leak: Leak, host: string): Refusal {
  return leakRefusal([leak], host);
}

function leakRefusal(leaks: readonly Leak[], host: string): Refusal {
  const places = leaks.map(
    ({ secret, place, encoding, reason }) => `${secret} in ${place} (${encoding}, ${reason})`,
  );
  const hint = `a placeholder may not go there: ${places.join('; ')}`;
  return { status: 403, error: 'ErrSecretLeak', reason: 'secret-leak', rule: null, host, hint };
}

/** The script's own sentence is for the sandbox too; what went wrong in a script is for the operator alone. */
export function refusalOfScript({ code, reason }: Denial, authority: Authority): Refusal {
  const own = code === 'script';
  return {
    status: 403,
    error: 'ErrBlocked',
    reason: code,
    rule: 'policy_script',
    host: authorityText(authority),
    hint: own ? reason : 'the policy script gave no answer that counts',
    ...(!own && { detail: reason }),
  };
}

const UNSEEN: Readonly<Record<BodyOmitted, readonly [status: number, why: string]>> = {
  'too-long': [413, 'is longer than script_body of its rule allows'],
  'not-text': [415, 'is not UTF-8'],
  coded: [415, 'is coded (Content-Encoding)'],
  stream: [415, 'is a stream'],
};

/** A content that the rule has the script read, and that cannot be shown to it. */
export function refusalOfContent(omitted: BodyOmitted, authority: Authority): Refusal {
  const [status, why] = UNSEEN[omitted];
  const hint = `the policy script is to read the content, and it ${why}`;
  return { ...refusalOf('script-body', hint, authority), status, rule: 'policy_script' };
}

export function refusalOfDns(authority: Authority): Refusal {
  const hint = 'names are answered by the gateway; use the resolver of the sandbox, not DNS over HTTPS';
  return refusalOf('dns-over-https', hint, authority);
}

/** The event log can take no more: what would go out with a secret has to wait until it is on record. */
export function refusalOfRecord(authority: Authority): Refusal {
  const hint = 'the event log cannot be written, and a request with a secret must be on record';
  return { ...refusalOf('EVENTS_FAILED', hint, authority), status: 503 };
}

/** One request more than `limits.requests_per_second` (RFC 6585 §4). */
export function refusalOfRate(authority: Authority): Refusal {
  const hint = 'more requests than limits.requests_per_second allows';
  return { ...refusalOf('LIMIT_EXCEEDED', hint, authority), status: 429, rule: 'limits.requests_per_second' };
}

function refusalOf(reason: string, hint: string, authority: Authority): Refusal {
  return { status: 403, error: 'ErrBlocked', reason, rule: null, host: authorityText(authority), hint };
}

const STATUS_OF_FAILURE: ReadonlyMap<string, number> = new Map([
  ['UPSTREAM_TIMEOUT', 504],
  ['LIMIT_EXCEEDED', 429],
  ['GATEWAY_CLOSED', 503],
]);

const FAILURES: ReadonlySet<string> = new Set<GatewayErrorCode>([
  'RESOLVE_FAILED',
  'UPSTREAM_UNREACHABLE',
  'UPSTREAM_TIMEOUT',
  'UPSTREAM_UNTRUSTED',
  'UPSTREAM_PROTOCOL',
  'UPSTREAM_TRUNCATED',
  'LIMIT_EXCEEDED',
  'GATEWAY_CLOSED',
]);

/** Something allowed that could not be done. Errors that are not ours say only their code. */
export function refusalOfError(error: unknown, authority: Authority): Refusal {
  const code = errorCode(error);
  const known = FAILURES.has(code);
  return {
    status: STATUS_OF_FAILURE.get(code) ?? 502,
    error: known ? (code as GatewayErrorCode) : 'UPSTREAM_UNREACHABLE',
    reason: code,
    rule: null,
    host: authorityText(authority),
    hint: known && error instanceof Error ? error.message : 'the upstream could not be reached',
  };
}

/** The readable form: `{ error, reason, rule, host, hint }` as JSON. */
export function refusalContent({ error, reason, rule, host, hint }: Refusal): Uint8Array {
  return Buffer.from(`${JSON.stringify({ error, reason, rule, host, hint })}\n`);
}

export function refusalAnswer(refusal: Refusal): Answer {
  const body = refusalContent(refusal);
  return {
    head: {
      status: refusal.status,
      reason: '',
      headers: [
        ['Content-Type', 'application/json'],
        ['Cache-Control', 'no-store'],
      ],
      framing: { kind: 'length', bytes: body.length },
      version: '1.1',
    },
    body,
    trailers: () => [],
    closes: true,
  };
}

/**
 * The judgement of one request, before anything of it leaves: decide → script → decide again → substitute → guard the
 * content → sign.
 *
 * Pure by itself; a script and a content are waited for.
 */
import { firstHeader } from '../core/headers.js';
import type { Result } from '../core/result.js';
import { decide } from '../policy/decide.js';
import type { PolicyScript } from '../policy/hooks.js';
import type { Allow, Verdict } from '../policy/question.js';
import { type DialogueGuard, guardDialogue } from '../secrets/dialogue.js';
import type { Leak } from '../secrets/scan.js';
import { type Departing, type Outbound, substitute } from '../secrets/substitute.js';
import { type Guarded, guardBody } from './body-guard.js';
import { type Capture, captureFor } from './capture.js';
import type { Gate, ProxyContext } from './context.js';
import type { Answer, Exchange, Request, RequestHead } from './exchange.js';
import {
  type Refusal,
  refusalOfDns,
  refusalOfLeak,
  refusalOfRate,
  refusalOfRecord,
  refusalOfVerdict,
} from './refusal.js';
import { askRequest, readableBack } from './scripted/ask-request.js';
import { refusalOfMissing, refusalOfSigning, type Signed, signDeparting } from './signing.js';

/** A request as it may leave. */
export interface Departure {
  readonly kind: 'departs';
  readonly head: RequestHead;
  /** Who is asked about what comes back. */
  readonly script: PolicyScript | null;
  readonly verdict: Allow;
  readonly substitution: Departing;
  readonly guarded: Guarded;
  /** What is put on record of the contents; null: nothing. */
  readonly capture: Capture | null;
  /** Of a WebSocket whose messages must be looked at; else null. */
  readonly dialogue: DialogueGuard | null;
}

export type Judged =
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly leaks: readonly Leak[] }
  | { readonly kind: 'answered'; readonly answer: Answer }
  | Departure;

/**
 * A promise only where something must be waited for: most requests have no script, no content and no signature, and
 * each wait costs as much as a decision.
 */
export function judge(exchange: Exchange, gate: Gate, context: ProxyContext): Judged | Promise<Judged> {
  const { request } = exchange;
  const verdict = decideRequest(request.head, gate);
  if (!verdict.allow) return refused(refusalOfVerdict(verdict, request.head.authority));
  const { script } = context;
  const capture = captureFor(gate);
  if (script === null) return prepare({ request, verdict, script, capture }, gate, context);
  return judgeByScript({ request, verdict, script, capture }, gate, context);
}

/** Of a request that came over the rate. Hundreds may wait for a second: what each of them keeps is little. */
export function refuseForRate({ request, signal }: Exchange, { limits }: ProxyContext): Promise<Judged> {
  return limits
    .beforeRefusal(signal)
    .then(() => limits.turn('request'))
    .then(() => refused(refusalOfRate(request.head.authority)));
}

/** A request that the rules allow. */
interface Allowed {
  readonly request: Request;
  readonly verdict: Allow;
  readonly script: PolicyScript | null;
  readonly capture: Capture | null;
}

async function judgeByScript(
  { request, verdict, script, capture }: Allowed & { readonly script: PolicyScript },
  gate: Gate,
  context: ProxyContext,
): Promise<Judged> {
  const asked = await askRequest(request, verdict, script);
  if (asked.kind === 'refused') return refused(asked.refusal);
  if (asked.kind === 'answered') return asked;
  const again = asked.kind === 'rewritten' ? decideRequest(asked.request.head, gate) : verdict;
  if (!again.allow) return refused(refusalOfVerdict(again, request.head.authority));
  const readable = readableBack(asked.request, script, again);
  return await prepare({ request: readable, verdict: again, script, capture }, gate, context);
}

/** The values go in, the content is guarded, the signature is made. */
function prepare(allowed: Allowed, gate: Gate, context: ProxyContext): Judged | Promise<Judged> {
  const { request, verdict, capture } = allowed;
  const { head } = request;
  if (isDnsMessage(head)) return refused(refusalOfDns(head.authority));
  const substitution = substitute(gate.secrets, outboundOf(head, verdict));
  if (!substitution.ok) return leaking(substitution.leaks, head, verdict, gate);
  const watched = capture === null ? request : capture.ofRequest(request);
  const guarded = guardBody(watched, gate.secrets, substitution);
  return guarded instanceof Promise
    ? guarded.then(body => sign(allowed, substitution, body, gate, context))
    : sign(allowed, substitution, guarded, gate, context);
}

function sign(
  allowed: Allowed,
  substitution: Departing,
  guarded: Guarded,
  gate: Gate,
  context: ProxyContext,
): Judged | Promise<Judged> {
  const signed = signDeparting(gate.secrets, allowed.request.head, substitution, guarded);
  return signed instanceof Promise
    ? signed.then(result => departure(allowed, result, guarded, gate, context))
    : departure(allowed, signed, guarded, gate, context);
}

function departure(
  { request, verdict, script, capture }: Allowed,
  signed: Result<Signed, string>,
  guarded: Guarded,
  gate: Gate,
  context: ProxyContext,
): Judged {
  const { head } = request;
  const leak = guarded.leak();
  if (leak !== null) return leaking([leak], head, verdict, gate);
  if (!signed.ok) return refused(refusalOfSigning(signed.error, head.authority));
  const { substitution, guarded: body } = signed.value;
  if (substitution.used.length > 0 && context.recordBlocked())
    return refused(refusalOfRecord(head.authority));
  const dialogue = head.upgrade === null ? null : guardDialogue(gate.secrets, substitution);
  return { kind: 'departs', head, script, verdict, substitution, guarded: body, capture, dialogue };
}

function leaking(leaks: readonly Leak[], { authority }: RequestHead, { secrets }: Allow, gate: Gate): Judged {
  const missing = refusalOfMissing(leaks, secrets, gate.unavailable, authority);
  return missing === null ? refused(refusalOfLeak(leaks, authority), leaks) : refused(missing);
}

function outboundOf(
  { authority, method, path, headers, dropped = [], upgrade }: RequestHead,
  { secrets }: Allow,
): Outbound {
  return { authority, method, path, headers, dropped, inScope: secrets, upgrade };
}

function decideRequest({ authority, method, path }: RequestHead, { policy }: Gate): Verdict {
  return decide(policy, { ask: 'request', authority, method, path });
}

function refused(refusal: Refusal, leaks: readonly Leak[] = []): Judged & { kind: 'refused' } {
  return { kind: 'refused', refusal, leaks };
}

/** DNS over HTTPS (RFC 8484) would be a resolver beside ours. */
function isDnsMessage({ headers }: RequestHead): boolean {
  const dns = 'application/dns-message';
  return (
    firstHeader(headers, 'content-type')?.toLowerCase().includes(dns) === true ||
    firstHeader(headers, 'accept')?.toLowerCase().includes(dns) === true
  );
}

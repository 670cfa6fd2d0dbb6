/**
 * The corridor: what happens to one request, whatever its version, and the order in which it happens.
 *
 * decide → script → decide again → substitute → dial by the decided name (each address is a question) → verify →
 * answer through redaction → one event. Nothing else in the gateway sends a request.
 */
import type { Duplex } from 'node:stream';
import { authorityText } from '../core/authority.js';
import { errorCode, GatewayError } from '../core/errors.js';
import { FieldNames, firstHeader, type HeaderList, withoutHeaders } from '../core/headers.js';
import type { Flow } from '../net/flow.js';
import { decide } from '../policy/decide.js';
import type { Denial } from '../policy/hooks.js';
import type { Policy } from '../policy/policy.js';
import type { Deny, Verdict } from '../policy/question.js';
import { ruledBy } from '../policy/shadow.js';
import type { DialogueGuard } from '../secrets/dialogue.js';
import type { Leak } from '../secrets/scan.js';
import type { Departing } from '../secrets/substitute.js';
import { abortSignalOf, type CancelSignal } from './cancel.js';
import type { Gate, ProxyContext } from './context.js';
import type { Answer, Exchange, RequestHead, UpstreamAnswer } from './exchange.js';
import type { RequestFault } from './http1/fault.js';
import { type Departure, type Judged, judge, refuseForRate } from './judge.js';
import {
  type Refusal,
  refusalAnswer,
  refusalOfError,
  refusalOfLeak,
  refusalOfScript,
  refusalOfVerdict,
} from './refusal.js';
import { answerFor, askForPlain, informer, limitContent } from './response.js';
import { type AskedAnswer, askAnswer } from './scripted/ask-answer.js';
import { factsOf } from './scripted/facts.js';
import { relayMessages } from './scripted/relay-messages.js';
import { Trace } from './trace.js';
import { splice } from './tunnel.js';
import { GuardedSocket } from './websocket/guarded.js';

/** Serves one exchange to its end. Whatever goes wrong becomes an answer and an event. */
export function serve(exchange: Exchange, flow: Flow, context: ProxyContext): Promise<void> {
  try {
    const trace = new Trace(exchange, flow, context);
    const turn = context.limits.turn('request');
    return turn === null ? admit(exchange, trace, context) : turn.then(() => admit(exchange, trace, context));
  } catch (error) {
    return Promise.reject(error);
  }
}

function admit(exchange: Exchange, trace: Trace, context: ProxyContext): Promise<void> {
  const isAdmitted = context.limits.admitRequest();
  const spread = isAdmitted ? context.limits.spread(exchange.signal) : null;
  return spread === null
    ? begin(exchange, trace, context, isAdmitted)
    : spread.then(() => begin(exchange, trace, context, isAdmitted));
}

/** What is there at once is not waited for: each wait costs a request as much as its decision. */
function begin(exchange: Exchange, trace: Trace, context: ProxyContext, isAdmitted: boolean): Promise<void> {
  // One snapshot: a reload in the middle does not give this request two policies.
  const gate = context.gate();
  const goOn = (judged: Judged): Promise<void> =>
    judged.kind === 'departs'
      ? relay({ exchange, trace, gate, context, departure: judged })
      : answerOurselves(exchange, trace, judged);
  try {
    const judging = isAdmitted ? judge(exchange, gate, context) : refuseForRate(exchange, context);
    if (!(judging instanceof Promise)) return goOn(judging);
    return judging.then(goOn, (error: unknown) => fail(exchange, trace, error));
  } catch (error) {
    return fail(exchange, trace, error);
  }
}

/** Nothing leaves. Never rejects. */
async function answerOurselves(
  exchange: Exchange,
  trace: Trace,
  judged: Exclude<Judged, Departure>,
): Promise<void> {
  try {
    if (judged.kind === 'refused') await refuse(exchange, trace, judged.refusal, judged.leaks);
    else await answerOfScript(exchange, trace, judged.answer);
  } catch (error) {
    await fail(exchange, trace, error);
  }
}

interface Relay {
  readonly exchange: Exchange;
  readonly trace: Trace;
  readonly gate: Gate;
  readonly context: ProxyContext;
  readonly departure: Departure;
}

/** dial → verify → send → answer through redaction → one event. Never rejects. */
async function relay(relay: Relay): Promise<void> {
  const { exchange, trace, departure } = relay;
  const { head, verdict, substitution, capture } = departure;
  try {
    trace.note(ruledBy(verdict));
    trace.note({ secrets: substitution.used });
    for (const { secret, place } of substitution.left) trace.left(secret, place);
    let answer: UpstreamAnswer;
    try {
      answer = await depart(relay);
    } catch (error) {
      return await noAnswer(relay, error);
    }
    const asking = judgeAnswer(relay, answer);
    const asked = asking instanceof Promise ? await asking : asking;
    if (asked.kind === 'denied') {
      answer.upgraded?.destroy();
      return await refuse(exchange, trace, refusalOfScript(asked.denial, head.authority), []);
    }
    if (answer.upgraded !== null) return await upgrade(relay, asked.answer, answer.upgraded);
    const { status } = asked.answer.head;
    if (status >= 300 && status < 400) trace.note({ location: locationOf(asked.answer) });
    try {
      await exchange.respond(capture === null ? asked.answer : capture.ofAnswer(asked.answer));
      if (capture !== null) await capture.tell(trace);
    } catch (error) {
      return await cutShort(relay, asked, answer.head.status, error);
    }
    trace.done(answer.head.status);
  } catch (error) {
    await fail(exchange, trace, error);
  }
}

/** Throws `error`, unless a leak in the content is why the request was cut short. */
async function noAnswer({ exchange, trace, departure }: Relay, error: unknown): Promise<void> {
  await departure.capture?.tell(trace);
  const leak = departure.guarded.leak();
  if (leak === null) throw error;
  await refuse(exchange, trace, refusalOfLeak([leak], departure.head.authority), [leak]);
}

function judgeAnswer({ gate, departure }: Relay, answer: UpstreamAnswer): AskedAnswer | Promise<AskedAnswer> {
  const { head, substitution } = departure;
  const redacted = answerFor(answer, head.method, gate.secrets, substitution.redact);
  return askAnswer(limitContent(redacted, gate.policy?.limits.maxResponseBodyBytes ?? null), departure);
}

/** The answer that had begun with `status` did not reach its end. */
async function cutShort(
  { trace, departure }: Relay,
  asked: Exclude<AskedAnswer, { kind: 'denied' }>,
  status: number,
  error: unknown,
): Promise<void> {
  await departure.capture?.tell(trace);
  const denial = asked.denial();
  if (denial !== null) return trace.refused(cutOff(denial, departure.head, status));
  const leak = departure.guarded.leak();
  if (leak !== null) trace.leaked([leak]);
  trace.failed(errorCode(error), 'the answer did not reach its end', status);
}

/** Where it leads: the sandbox's next request is decided like any other. */
function locationOf({ head }: Answer): string | null {
  return firstHeader(head.headers, 'location');
}

/** Raw bytes both ways from here on, or messages that the secrets' guard or a script looks at. */
async function upgrade(relay: Relay, answer: Answer, raw: Duplex): Promise<void> {
  const { exchange, trace, gate, context } = relay;
  const { head, script, dialogue } = relay.departure;
  const leaks: Leak[] = [];
  const onLeak = (leak: Leak): void => {
    leaks.push(leak);
    trace.leaked([leak]);
  };
  const guarded = dialogue === null ? null : new GuardedSocket({ upstream: raw, guard: dialogue, onLeak });
  const sandbox = exchange.upgrade(answer.head.headers);
  sandbox.on('error', () => undefined);
  const stay = context.standing.enter(policy => deniedUpgrade(policy, head), gate.policy);
  const ends = { sandbox, upstream: guarded ?? raw, signal: stay.signal };
  const hook = script?.onMessage ?? null;
  try {
    const denial =
      hook === null ? await spliced(ends) : await relayMessages({ ...ends, hook, request: factsOf(head) });
    if (denial !== null) return trace.refused(cutOff(denial, head, 101));
  } catch (error) {
    if (stay.denied === null && (guarded?.stopped ?? null) === null) throw error;
  } finally {
    stay.leave();
    if (dialogue !== null) trace.note({ secrets: dialogue.used });
  }
  if (stay.denied) return trace.refused({ ...refusalOfVerdict(stay.denied, head.authority), status: 101 });
  if (leaks.length > 0) return trace.refused({ ...refusalOfLeak(leaks, head.authority), status: 101 });
  if (guarded?.stopped) return trace.failed(guarded.stopped.code, guarded.stopped.message, 101);
  trace.done(101);
}

/** Why `policy` would not let this WebSocket begin. */
function deniedUpgrade(policy: Policy | null, { authority, method, path }: RequestHead): Deny | null {
  const verdict = decide(policy, { ask: 'request', authority, method, path });
  return verdict.allow ? null : verdict;
}

/** Nobody listens, so nobody denies. */
async function spliced({ sandbox, upstream, signal }: Ends): Promise<null> {
  await splice(sandbox, upstream, signal);
  return null;
}

interface Ends {
  readonly sandbox: Duplex;
  readonly upstream: Duplex;
  readonly signal: AbortSignal;
}

/** The refusal of what had begun with `status`. */
function cutOff(denial: Denial, { authority }: RequestHead, status: number): Refusal {
  return { ...refusalOfScript(denial, authority), status };
}

function depart({ exchange, trace, gate, context, departure }: Relay): Promise<UpstreamAnswer> {
  const { head, substitution, guarded, dialogue } = departure;
  const { policy } = gate;
  const { authority } = head;
  const outbound = {
    head: guarded.framing === head.framing ? head : { ...head, framing: guarded.framing },
    headers: headersOf(substitution, dialogue),
    path: substitution.path,
    host: authorityText(authority),
    body: guarded.body,
    trailers: exchange.request.trailers,
    inform: informer(exchange, gate.secrets, substitution.redact),
    sensitive: substitution.sensitive,
  };
  const request = {
    sandbox: context.sandbox,
    authority,
    generation: policy?.generation ?? 0,
    outbound,
    decideDial: (host, endpoint) => decide(policy, { ask: 'dial', host, endpoint }),
    routes: policy?.proxy ?? null,
    onDialled: destination => trace.note({ destination }),
    phases: trace,
    pin: authority.host.kind === 'name' ? (policy?.addHosts.get(authority.host.name) ?? null) : null,
  } satisfies Parameters<ProxyContext['upstream']['send']>[0];
  const headMs = policy?.limits.upstreamHeadMs ?? null;
  if (headMs === null) return context.upstream.send(request, exchange.signal);
  return withinHeadTime(headMs, exchange.signal, signal => context.upstream.send(request, signal));
}

const EXTENSIONS = new FieldNames(['sec-websocket-extensions']);

/** What is searched must come back as it is: neither a content nor a message may be compressed. */
function headersOf({ headers, redact }: Departing, dialogue: DialogueGuard | null): HeaderList {
  const readable = dialogue === null ? headers : withoutHeaders(headers, EXTENSIONS);
  return redact.length > 0 ? askForPlain(readable) : readable;
}

/** The signal goes on for the content; only the wait for the head is timed. */
async function withinHeadTime<T>(
  headMs: number,
  outer: CancelSignal,
  send: (signal: CancelSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), headMs);
  try {
    return await send(AbortSignal.any([abortSignalOf(outer), late.signal]));
  } catch (error) {
    if (!late.signal.aborted || outer.aborted) throw error;
    throw new GatewayError('UPSTREAM_TIMEOUT', `no answer within limits.upstream_head_ms (${headMs})`, {
      cause: error,
    });
  } finally {
    clearTimeout(timer);
  }
}

async function refuse(
  exchange: Exchange,
  trace: Trace,
  refusal: Refusal,
  leaks: readonly Leak[],
): Promise<void> {
  if (leaks.length > 0) trace.leaked(leaks);
  await respondOrAbort(exchange, refusalAnswer(refusal));
  trace.refused(refusal);
}

async function answerOfScript(exchange: Exchange, trace: Trace, answer: Answer): Promise<void> {
  await respondOrAbort(exchange, answer);
  trace.done(answer.head.status);
}

/** A verdict on an address is a refusal; everything else is a failure, told in as much as is ours to tell. */
async function fail(exchange: Exchange, trace: Trace, error: unknown): Promise<void> {
  const { authority } = exchange.request.head;
  const verdict =
    error instanceof GatewayError && error.code === 'DIAL_REFUSED' ? (error.cause as Verdict) : null;
  if (verdict !== null && !verdict.allow) {
    return await refuse(exchange, trace, refusalOfVerdict(verdict, authority), []);
  }
  const refusal = refusalOfError(error, authority);
  if (exchange.signal.aborted) {
    const { code, message, status } = endOf(exchange.signal.reason);
    trace.failed(code, message, status);
    return;
  }
  await respondOrAbort(exchange, refusalAnswer(refusal));
  trace.failed(refusal.reason, refusal.hint, refusal.status);
}

/** Why the sandbox's side has ended, and what it was answered; status 0: nothing. */
function endOf(reason: unknown): {
  readonly code: string;
  readonly message: string;
  readonly status: number;
} {
  if (!(reason instanceof GatewayError) || reason.code !== 'CLIENT_PROTOCOL')
    return { code: 'CLIENT_ABORTED', message: 'the sandbox went away', status: 0 };
  // HTTP/1 has told which fault; over HTTP/2 the stream was reset.
  const fault = reason.cause as RequestFault | undefined;
  return { code: fault?.code ?? reason.code, message: reason.message, status: fault?.status ?? 0 };
}

async function respondOrAbort(exchange: Exchange, answer: ReturnType<typeof refusalAnswer>): Promise<void> {
  try {
    await exchange.respond(answer);
  } catch {
    // The sandbox left, or an answer had begun: all that is left is to show that it was cut short.
    exchange.abort();
  }
}

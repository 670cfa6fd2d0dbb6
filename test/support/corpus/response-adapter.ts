/** `responses.json` through whole gateways: a scripted upstream says what the case holds, and the sandbox reads. */
import type { Answers } from '../answers.js';
import { type Bench, openBench } from '../bench.js';
import { makeTestCa } from '../tls.js';
import { raw, type ScriptedUpstream, startScriptedUpstream } from '../upstream.js';
import { BenchPool } from './bench-pool.js';
import {
  type CorpusAdapter,
  type CorpusFile,
  type CorpusSession,
  failed,
  type Outcome,
  PASSED,
} from './case.js';
import { findValue } from './reflection-judge.js';
import { judgeResponse, type ResponseCase, type SeenResponse, upstreamBytes } from './response-cases.js';

const BENCHES = 8;

const HOST = 'api.allowed.test';

/** Longer than the deadlines of the bench, so that the gateway's own end is what is seen. */
const GUEST_MS = 4_000;

/** The upstream closes this long after its answer. */
const HOLD_MS = 200;

const TIMES = { headMs: 600, idleMs: 600 };

interface Scripted extends Bench {
  readonly scripted: ScriptedUpstream;
}

export const responseAdapter: CorpusAdapter = { concurrency: BENCHES, open: openSession };

async function openSession(file: CorpusFile): Promise<CorpusSession> {
  const secret = file.meta.secret as { readonly placeholder: string; readonly value: string };
  const pool = await BenchPool.open(BENCHES, () => openScripted(secret));
  const events: string[] = [];
  return {
    run: item =>
      pool.use(async bench => {
        const outcome = await runCase(bench, item as unknown as ResponseCase, secret.value);
        events.push(JSON.stringify(bench.events));
        return outcome;
      }),
    sentinel: () =>
      pool.use(async bench => (await ask(bench, '/next', PLAIN)).answers[0]?.body.toString() === 'own'),
    open: () => pool.openFlows,
    transcript: () => events,
    secretValues: [secret.value],
    close: () => pool.close(),
  };
}

async function openScripted({
  placeholder,
  value,
}: {
  placeholder: string;
  value: string;
}): Promise<Scripted> {
  const upstreamCa = makeTestCa();
  const scripted = await startScriptedUpstream({ tls: { ca: upstreamCa, names: [HOST] } });
  const bench = await openBench({
    policy: { allow_domain: [HOST], secrets: { A: { hosts: [HOST], placeholder } } },
    env: { A: value },
    upstreamCa,
    route: () => scripted,
    times: TIMES,
  });
  const dispose = bench[Symbol.asyncDispose].bind(bench);
  const close = async (): Promise<void> => {
    await dispose();
    await scripted.close();
  };
  return Object.assign(bench, { scripted, [Symbol.asyncDispose]: close });
}

async function runCase(bench: Bench, item: ResponseCase, value: string): Promise<Outcome> {
  const { scripted } = bench as Scripted;
  const stalls = item.segments !== undefined;
  scripted.script = { answer: upstreamBytes(item), holdMs: stalls ? null : HOLD_MS };
  const first = await ask(bench, '/case', item.request);
  const next = await ask(bench, '/next', PLAIN);
  const seen = seenResponse(item, first, next);
  const { category, expected } = item;
  if (category === 'reflection')
    return judgeReflection(item, first, seen, value, scripted.bytes.toString('latin1'));
  const found = expected.includes('redacted') ? findValue(first, value) : null;
  if (found !== null) return failed(expected, `tell: the value stands there, ${found}`);
  const judged = judgeResponse(item, seen);
  return judged.pass ? PASSED : failed(expected, `${seen.status ?? 'none'}: ${judged.seen}`);
}

function judgeReflection(
  { expected, request, note }: ResponseCase,
  answers: Answers,
  { body, nextBody }: SeenResponse,
  value: string,
  sent: string,
): Outcome {
  if (nextBody !== 'own') return failed('the next request gets its own answer', `poison: ${nextBody}`);
  // A piece of an answer cannot be redacted: so no piece may be asked for.
  const asksForPiece = request.headers.some(field => /^range:/i.test(field)) && /^range:/im.test(sent);
  if (asksForPiece) return failed('Range is not sent on', `forward: ${note}`);
  const found = findValue(answers, value);
  if (expected === 'redacted' && found !== null)
    return failed(expected, `tell: the value stands there, ${found}`);
  if (expected === 'pass' && answers.statuses.length === 0) return failed(expected, 'abort: no answer');
  const untouched = expected !== 'pass' || /GWPH_[0-9a-f]{32}$|sk-live\+REAL/.test(body);
  return untouched ? PASSED : failed('the answer as it is', `change: ${body.slice(0, 80)}`);
}

const PLAIN: ResponseCase['request'] = { method: 'GET', headers: [] };

async function ask(
  bench: Bench,
  path: string,
  { method, headers }: ResponseCase['request'],
): Promise<Answers> {
  const socket = await bench.connectTls({ host: HOST, port: 443 });
  const end = headers.some(field => /^upgrade:/i.test(field)) ? [] : ['Connection: close'];
  const head = [`${method} ${path} HTTP/1.1`, `Host: ${HOST}`, ...headers, ...end, '', ''].join('\r\n');
  return raw(socket, Buffer.from(head, 'latin1'), { halfCloseAfterMs: null, timeoutMs: GUEST_MS });
}

function seenResponse({ request }: ResponseCase, first: Answers, next: Answers): SeenResponse {
  const [answer] = first.answers;
  const [head = '', ...rest] = first.bytes.toString('latin1').split('\r\n\r\n').slice(first.interim.length);
  // Whatever an answer to HEAD announces, it ends with its head (RFC 9112 §6.3).
  const isHead = request.method === 'HEAD';
  return {
    status: answer?.status ?? null,
    fields: head.split('\r\n').slice(1),
    body: isHead ? rest.join('\r\n\r\n') : (answer?.body.toString('latin1') ?? ''),
    complete: (isHead ? answer !== undefined : answer?.complete === true) && first.closed,
    nextBody: next.answers[0]?.body.toString('latin1') ?? null,
  };
}

/**
 * `scripts.json` through a whole gateway: each case is a policy script (the body of the deciding hook, or the value that
 * it gives back), and the sandbox sends a request through it. The default limits hold, and the event loop is watched.
 */

import { watchEventLoop } from '../event-loop.js';
import { openScriptBench, type ScriptBench, type Seen } from '../script-bench.js';
import {
  type CorpusAdapter,
  type CorpusCase,
  type CorpusSession,
  failed,
  type Outcome,
  PASSED,
} from './case.js';

/**
 * What the gateway's event loop may be held up for one thing, in milliseconds. A script that ran on it would hold it for
 * its whole deadline, case after case; once, the collector may take longer on a busy machine.
 */
const LONGEST_BLOCK_MS = 20;
const LONGEST_ONCE_MS = 200;

/** An answer to a script that runs away comes soon after its deadline, even where the machine is busy. */
const LATEST_MS = 5_000;

/** Nothing of a host may be there. */
const HOST_GLOBALS = [
  ...[
    'process',
    'require',
    'module',
    'Buffer',
    'fetch',
    'setTimeout',
    'setInterval',
    'queueMicrotask',
    'WebAssembly',
  ],
  ...[
    'std',
    'os',
    'bjson',
    'scriptArgs',
    'print',
    'console',
    'XMLHttpRequest',
    'Worker',
    'Deno',
    'Bun',
    'performance',
  ],
];

export const scriptAdapter: CorpusAdapter = { concurrency: 1, open: openSession };

async function openSession(): Promise<CorpusSession> {
  const bench = await openScriptBench(undefined, { timeoutMs: 50 });
  const before =
    Object.getOwnPropertyNames(globalThis).length + Object.getOwnPropertyNames(Object.prototype).length;
  const loop = watchEventLoop();
  return {
    run: item => runCase(bench, item),
    sentinel: async () => {
      const { longestMs, fifthMs, wallMs, p99Ms } = loop();
      const told = [longestMs, wallMs, p99Ms].map(ms => ms.toFixed(1));
      console.log(
        `scripts: event loop: longest block ${told[0]} ms (${told[1]} by the clock), p99 ${told[2]} ms`,
      );
      const after =
        Object.getOwnPropertyNames(globalThis).length + Object.getOwnPropertyNames(Object.prototype).length;
      await bench.script(ALLOW);
      const free = fifthMs <= LONGEST_BLOCK_MS && longestMs <= LONGEST_ONCE_MS;
      return after === before && free && (await ordinary(bench, 'another'));
    },
    open: () => bench.openFlows,
    close: async () => await bench[Symbol.asyncDispose](),
  };
}

const ALLOW = 'export function onRequest() { return { allow: true }; }';

/** A request that the script lets pass before the case's code is reached. */
const ORDINARY = "if (request.headers['x-ordinary'] !== undefined) return { allow: true };";

async function runCase(bench: ScriptBench, item: CorpusCase): Promise<Outcome> {
  const source = scriptOf(item);
  // Its own sandbox: no case pays for the failures of another.
  const sandbox = item.id;
  if (!(await loads(bench, source))) return await afterRefusal(bench, item);
  bench.clear();
  const began = performance.now();
  const seen = await bench.ask('/case', { sandbox });
  const tookMs = performance.now() - began;
  const outcome = judge(bench, item, seen);
  if (outcome.kind !== 'passed') return outcome;
  if (tookMs > LATEST_MS) return failed('an answer soon after the deadline', `${Math.round(tookMs)} ms`);
  if (!(await ordinary(bench, sandbox))) return failed('the next request works', 'it does not');
  return (await ordinary(bench, `${sandbox}-other`))
    ? PASSED
    : failed('another sandbox works', 'it does not');
}

function scriptOf({ category, code }: CorpusCase): string {
  const text = String(code);
  if (category === 'result') return `export function onRequest(request) { ${ORDINARY}\nreturn (${text}\n); }`;
  if (category !== 'isolation') return `export function onRequest(request) { ${ORDINARY}\n${text}\n}`;
  // Nothing of the language is trusted any more once the case's code has run.
  return `export function onRequest(request) { ${ORDINARY}
    let seen, found = '';
    try { seen = eval(${JSON.stringify(text)}); } catch (error) { seen = undefined; }
    const names = ${JSON.stringify(HOST_GLOBALS)};
    for (let i = 0; i < names.length; i++) if (globalThis[names[i]] !== undefined) found += ' ' + names[i];
    if (seen !== null && seen !== undefined && (seen.versions?.node || seen.mainModule || seen.binding)) found += ' host';
    return { deny: 'found:' + found };
  }`;
}

async function loads(bench: ScriptBench, source: string): Promise<boolean> {
  try {
    await bench.script(source);
    return true;
  } catch {
    // The configuration is refused, which is an outcome; the script before it stays in force.
    return false;
  }
}

/** A refused configuration decides nothing: the script before it goes on. */
async function afterRefusal(bench: ScriptBench, item: CorpusCase): Promise<Outcome> {
  if (/^allow/.test(String(item.expected))) return failed(item.expected, 'refused: the configuration');
  await bench.script(ALLOW);
  return (await ordinary(bench, item.id)) ? PASSED : failed('the next configuration works', 'it does not');
}

async function ordinary(bench: ScriptBench, sandbox: string): Promise<boolean> {
  const seen = await bench.ask('/ordinary', { sandbox, headers: ['X-Ordinary: 1'] });
  return seen.status === 200 && seen.body === 'ok';
}

function judge(bench: ScriptBench, item: CorpusCase, seen: Seen): Outcome {
  if (item.category === 'isolation') return judgeIsolation(seen);
  if (item.category === 'resource') return denied(bench, seen);
  const expected = String(item.expected);
  if (/config refused/.test(expected)) return failed(expected, 'allow: the configuration was taken');
  if (/^allow/.test(expected)) return seen.status === 200 ? PASSED : failed(expected, shown(seen));
  const mayPass = /\bor\b|await|recomputed/.test(
    expected.replace('deny or allow per documented schema; unknown keys', ''),
  );
  return mayPass && seen.status === 200 ? judgePassed(bench, seen) : denied(bench, seen);
}

/** Refused with a reason, nothing sent, and exactly one event about it. */
function denied(bench: ScriptBench, seen: Seen): Outcome {
  const sent = bench.plain.requests.length;
  const events = bench.events.filter(({ type }) => type === 'request.refused');
  const told = events[0]?.network?.reason ?? '';
  const right = seen.status === 403 && sent === 0 && events.length === 1 && told === seen.reason;
  return right && /^script/.test(told)
    ? PASSED
    : failed('deny, one event', `${shown(seen)}, ${sent} sent, ${told}`);
}

/** What passed is framed by us, and for the host that was decided. */
function judgePassed(bench: ScriptBench, seen: Seen): Outcome {
  const length = seen.headers.get('content-length');
  const framed = length === undefined || Number(length) === Buffer.byteLength(seen.body);
  const hosts = bench.plain.requests.every(({ host }) => host === 'api.allowed.test');
  return framed && hosts ? PASSED : failed('its own framing and host', shown(seen));
}

function judgeIsolation(seen: Seen): Outcome {
  // It threw, looped, or left a promise: the engine has refused the whole call.
  if (seen.reason?.startsWith('script-')) return PASSED;
  if (seen.reason !== 'script') return failed('a denial of the script', shown(seen));
  const { hint } = JSON.parse(seen.body) as { hint: string };
  return hint === 'found:' ? PASSED : failed('nothing of the host', `reach: ${hint}`);
}

function shown({ status, reason, body }: Seen): string {
  return `${status === 200 ? 'allow' : 'deny'}: ${status} ${reason ?? body.slice(0, 100)}`;
}

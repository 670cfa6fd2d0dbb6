import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { mutant } from '../../fuzz/engine/mutate.js';
import { Random } from '../../fuzz/engine/random.js';
import { openFacts, readRequests } from '../../fuzz/references/http1.js';
import { HTTP1_TOKENS } from '../../fuzz/targets/http1-tokens.js';
import type { Event } from '../../src/events/event.js';
import { type Bench, openBench } from '../support/bench.js';
import type { CorpusFile } from '../support/corpus/case.js';
import { loadSmugglingCases } from '../support/corpus/smuggling-cases.js';
import { makeTestCa } from '../support/tls.js';
import { raw } from '../support/upstream.js';
import { type LoggedRequest, type Origin, type OriginName, startOrigin } from './origins.js';

const CORPUS = join(__dirname, '../corpus');
const CASES = loadSmugglingCases(CORPUS);
const ACCEPTED = CASES.filter(({ expected }) => expected.action !== 'reject');
const MUTANTS = 250;
const WORKERS = 16;

type Mode = (typeof CASES)[number]['mode'];

interface Replay {
  readonly mode: Mode;
  readonly bytes: Buffer;
}

/** What the corpus lets pass, and what of its mutants our reader takes for at least one request. */
function replays(): Replay[] {
  const accepted = ACCEPTED.map(({ mode, raw_b64 }) => ({ mode, bytes: Buffer.from(raw_b64, 'base64') }));
  const seeds = accepted.filter(({ mode, bytes }) => mode === 'transparent-http' && bytes.length < 2_000);
  const mutation = { seeds: seeds.map(({ bytes }) => bytes), tokens: HTTP1_TOKENS };
  const random = new Random(20_262);
  const mutants: Replay[] = [];
  while (mutants.length < MUTANTS) {
    const bytes = mutant(mutation, random);
    const { requests } = readRequests([bytes], openFacts());
    if (requests.length > 0) mutants.push({ mode: 'transparent-http', bytes });
  }
  return [...accepted, ...mutants];
}

/** HTTP/2 connections whose requests the corpus lets pass. */
function h2Replays(): Replay[] {
  const { cases }: CorpusFile = JSON.parse(readFileSync(join(CORPUS, 'h2.json'), 'utf8'));
  const forwarded = cases.filter(({ expected }) => /^forward/.test(String(expected)));
  return forwarded.map(({ raw_b64 }) => ({ mode: 'in-tls', bytes: Buffer.from(String(raw_b64), 'base64') }));
}

type Way = 'plain' | 'TLS' | 'HTTP/2';

function connectFor(bench: Bench, way: Way, mode: Mode): Promise<Duplex> {
  if (way === 'HTTP/2') return bench.connectTls({ host: 'allowed.test', port: 443 }, { alpn: ['h2'] });
  if (mode === 'explicit-proxy') return bench.connectProxy();
  return way === 'TLS'
    ? bench.connectTls({ host: 'allowed.test', port: 443 })
    : bench.connect({ host: 'allowed.test', port: 80 });
}

async function replayAll(bench: Bench, way: Way): Promise<void> {
  const all = way === 'HTTP/2' ? h2Replays() : replays();
  const queue = way === 'TLS' ? all.filter(({ mode }) => mode !== 'explicit-proxy') : all;
  const worker = async (): Promise<void> => {
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      const socket = await connectFor(bench, way, next.mode);
      await raw(socket, next.bytes, { timeoutMs: 3_000 });
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, worker));
}

/** `method target host status` as the gateway has it on record. */
function told(event: Event): string {
  const { method, url, status_code } = event.network ?? { method: '', url: '', status_code: 0 };
  const [, host = '', target = ''] = /^https?:\/\/([^/*]*)(.*)$/.exec(url) ?? [];
  return `${method} ${target} ${host} ${status_code}`;
}

const said = ({ method, target, host, status }: LoggedRequest): string =>
  `${method} ${target} ${host} ${status}`;
/** Squid logs a whole URL. */
const originForm = (request: LoggedRequest): LoggedRequest => ({
  ...request,
  target: request.target.replace(/^http:\/\/[^/]*/, '') || '/',
});

/** Takes each of `told` out of `said`: what is left of both. */
function difference(
  told: readonly string[],
  said: readonly string[],
): { untold: string[]; unsaid: string[] } {
  const untold = [...said];
  const unsaid = told.filter(line => {
    const at = untold.indexOf(line);
    if (at >= 0) untold.splice(at, 1);
    return at < 0;
  });
  return { untold, unsaid };
}

async function settled(origin: Origin, least: number): Promise<readonly LoggedRequest[]> {
  for (let waited = 0; waited < 5_000 && origin.logged().length < least; waited += 50) await delay(50);
  await delay(200);
  return origin.logged();
}

const SETTINGS: readonly (readonly [name: OriginName, way: Way])[] = [
  ['nginx', 'plain'],
  ['nginx', 'TLS'],
  ['nginx', 'HTTP/2'],
  ['apache2', 'plain'],
  ['haproxy', 'plain'],
  ['squid', 'plain'],
];

test.each(SETTINGS)(
  '%s over %s logs the requests that the events tell of, and no others',
  async (name, way) => {
    const ca = makeTestCa();
    const origin = await startOrigin(name, ca, ['allowed.test', '*.allowed.test']);
    const bench = await openBench({
      policy: { allow_domain: ['allowed.test', '*.allowed.test'] },
      upstreamCa: ca,
      route: ({ port }) => (port === 443 ? { port: origin.tlsPort ?? 0 } : { port: origin.port }),
    });
    try {
      await replayAll(bench, way);
      const reached = bench.events.filter(({ network }) => network?.destination != null);
      const done = reached.filter(({ type }) => type === 'request.done').map(told);
      const log = (await settled(origin, done.length)).map(originForm);
      const { unsaid, untold } = difference(done, log.map(said));
      // `*` is more than some of them read: they log a refusal of a line that names no host.
      const unread = untold.filter(line => isUnread(line));
      expect(unsaid.map(line => line.replace(/^OPTIONS \* \S+/, 'unread'))).toEqual(
        unread.slice(0, unsaid.length).map(line => line.replace(/^.* (?=\d+$)/, 'unread ')),
      );
      // A request that was cut short may have been logged, as what it was.
      const failed = reached
        .filter(({ type }) => type === 'request.failed')
        .map(event => withoutStatus(told(event)));
      const rest = untold.filter(line => !unread.slice(0, unsaid.length).includes(line)).map(withoutStatus);
      expect(difference(failed, rest).untold).toEqual([]);
      expect(done.length).toBeGreaterThan(way === 'HTTP/2' ? 5 : 100);
    } finally {
      await bench[Symbol.asyncDispose]();
      await origin.close();
    }
  },
);

function isUnread(line: string): boolean {
  return /^OPTIONS \S+ -? ?(?:400|501)$/.test(line);
}

function withoutStatus(line: string): string {
  return line.replace(/ \d+$/, '');
}

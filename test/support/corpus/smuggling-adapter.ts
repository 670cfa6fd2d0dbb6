/** `smuggling.json` through whole gateways: each case has a bench for itself while it runs. */
import type { Duplex } from 'node:stream';
import { type Bench, openBench } from '../bench.js';
import { raw } from '../upstream.js';
import { BenchPool } from './bench-pool.js';
import { type CorpusAdapter, type CorpusSession, compare, failed, type Outcome, PASSED } from './case.js';
import { judgeSmuggling, type SeenRequest, type SmugglingCase } from './smuggling-cases.js';

const BENCHES = 12;

const POLICY = {
  allow_domain: ['allowed.test', '*.allowed.test'],
  deny_domain: ['denied.test'],
  // The corpus speaks of "the limit" without a number: one that every other case stays below.
  limits: { max_request_body_bytes: 100_000_000 },
};

export const smugglingAdapter: CorpusAdapter = { concurrency: BENCHES, open: openSession };

async function openSession(): Promise<CorpusSession> {
  const pool = await BenchPool.open(BENCHES, () => openBench({ policy: POLICY }));
  return {
    run: item => pool.use(bench => runCase(bench, item as unknown as SmugglingCase)),
    sentinel: () => pool.use(sentinel),
    open: () => pool.openFlows,
    close: () => pool.close(),
  };
}

async function runCase(bench: Bench, item: SmugglingCase): Promise<Outcome> {
  const { expected } = item;
  const bytes = Buffer.from(item.raw_b64, 'base64');
  const socket = await connectFor(bench, item);
  // A name that is denied is refused at the handshake, as `sni.json` wants it: no byte of the case is ever read.
  if (socket === null) return compare(expected.action, bench.dialled.length === 0 ? 'reject' : 'forward');
  const { statuses, closed } = await raw(socket, bytes, { timeoutMs: 8_000 });
  // A head whose content was cut short is no request that anybody could act on.
  const upstream = [...bench.plain.requests, ...bench.secure.requests]
    .filter(({ whole }) => whole)
    .map(seenRequest);
  const { pass, seen } = judgeSmuggling(item, { statuses, closed, upstream });
  // A tunnel's own answer is no request: then the list of statuses is a sequence although no upstream was asked.
  const sequence = item.category === 'connect' && String(statuses) === String(expected.status);
  if (pass || (sequence && upstream.length === expected.upstream_requests.length)) return PASSED;
  const word = upstream.length > expected.upstream_requests.length ? 'forward' : 'reject';
  return failed(expected.action, `${word}: ${seen}`);
}

/** The connection that the bytes are written to; null: its handshake was refused. */
async function connectFor(bench: Bench, { mode, sni }: SmugglingCase): Promise<Duplex | null> {
  if (mode === 'explicit-proxy') return bench.connectProxy();
  if (mode === 'in-tls')
    return bench.connectTls({ host: sni ?? 'allowed.test', port: 443 }).catch(() => null);
  return bench.connect({ host: 'allowed.test', port: 80 });
}

function seenRequest({ method, target, host, body }: Bench['plain']['requests'][number]): SeenRequest {
  return { method, target, host: host ?? '', body: body.toString('latin1') };
}

async function sentinel(bench: Bench): Promise<boolean> {
  const request = Buffer.from('GET /sentinel HTTP/1.1\r\nHost: allowed.test\r\n\r\n');
  const { statuses } = await raw(await bench.connect({ host: 'allowed.test', port: 80 }), request);
  return statuses[0] === 200 && bench.plain.requests.some(({ target }) => target === '/sentinel');
}

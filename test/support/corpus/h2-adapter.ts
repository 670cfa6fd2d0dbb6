/** `h2.json` through whole gateways: each case has a bench for itself while it runs. */
import { hostText, parseHost } from '../../../src/core/host.js';
import { type Bench, openBench } from '../bench.js';
import { GREETING, headersFrame, requestFields } from '../h2-frames.js';
import { BenchPool } from './bench-pool.js';
import type { CorpusAdapter, CorpusCase, CorpusFile, CorpusSession, Outcome } from './case.js';
import { policyIn } from './dns-policy.js';
import { deliverH2, type Forwarded, type H2Answer, judgeH2 } from './h2-cases.js';

const BENCHES = 8;

const POLICY = { allow_domain: ['allowed.test', '*.allowed.test'], deny_domain: ['denied.test'] };

export const h2Adapter: CorpusAdapter = { concurrency: BENCHES, open: openSession };

async function openSession(file: CorpusFile): Promise<CorpusSession> {
  const policy = policyIn(file.meta.rules) ?? POLICY;
  const pool = await BenchPool.open(BENCHES, () => openBench({ policy }));
  return {
    run: item => pool.use(bench => runCase(bench, item)),
    sentinel: () => pool.use(sentinel),
    open: () => pool.openFlows,
    close: () => pool.close(),
  };
}

const REFUSED: H2Answer = { connected: false, frames: [], closed: true };

async function runCase(bench: Bench, item: CorpusCase): Promise<Outcome> {
  const target = { host: String(item.sni), port: 443 };
  const socket = await bench.connectTls(target, { alpn: ['h2'] }).catch(() => null);
  const answer = socket === null ? REFUSED : await deliverH2(item, socket);
  const forwarded = bench.secure.requests.map(forwardedFrom);
  // What one upstream saw at a time, and how much was taken from it, is asked of the server alone.
  return judgeH2(item, { ...answer, forwarded, concurrent: 0, pulledBytes: 0 });
}

function forwardedFrom(request: Bench['secure']['requests'][number]): Forwarded {
  const { method, target: path, headers, trailers, body } = request;
  const host = parseHost(request.host ?? '');
  return {
    method,
    path,
    headers: headers.filter(([name]) => name.toLowerCase() !== 'host'),
    trailers,
    host: host.ok ? hostText(host.value) : String(request.host),
    contentBytes: body.length,
  };
}

async function sentinel(bench: Bench): Promise<boolean> {
  const socket = await bench.connectTls({ host: 'allowed.test', port: 443 }, { alpn: ['h2'] });
  const wire = Buffer.concat([GREETING, headersFrame(1, requestFields({ path: '/sentinel' }))]);
  await deliverH2({ id: 'sentinel', raw_b64: wire.toString('base64') }, socket);
  return bench.secure.requests.some(({ target }) => target === '/sentinel');
}

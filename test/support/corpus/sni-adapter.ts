/** `sni.json` through whole gateways; each case has a bench for itself while it runs. */
import type { Duplex } from 'node:stream';
import { type Bench, openBench } from '../bench.js';
import { BenchPool } from './bench-pool.js';
import type { CorpusAdapter, CorpusCase, CorpusFile, CorpusSession } from './case.js';
import { policyIn } from './dns-policy.js';
import { runSni, type SniTarget } from './sni-cases.js';

const BENCHES = 6;

const POLICY = { allow_domain: ['allowed.test', '*.allowed.test'], deny_domain: ['denied.test'] };

/** A little more than the gateway's own deadline for a handshake. */
const HANDSHAKE_MS = 11_000;

const SENTINEL: CorpusCase = {
  id: 'sentinel',
  category: 'value',
  server_names: ['allowed.test'],
  expected: 'mint',
};

export const sniAdapter: CorpusAdapter = { concurrency: BENCHES, open: openSession };

async function openSession(file: CorpusFile): Promise<CorpusSession> {
  const policy = policyIn(file.meta.rules) ?? POLICY;
  const pool = await BenchPool.open(BENCHES, () => openBench({ policy }));
  return {
    run: item => pool.use(bench => runSni(item, targetOf(bench))),
    sentinel: () => pool.use(async bench => (await runSni(SENTINEL, targetOf(bench))).kind === 'passed'),
    open: () => pool.openFlows,
    close: () => pool.close(),
  };
}

/** Connections to the address of a name that a rule allows. */
function targetOf(bench: Bench): SniTarget {
  const connect = async (sandbox?: string): Promise<Duplex> => {
    const socket = await bench.connect({ host: 'allowed.test', port: 443, ...(sandbox && { sandbox }) });
    // As most clients are: the gateway's end is theirs too.
    socket.allowHalfOpen = false;
    return socket;
  };
  return {
    connect: () => connect(),
    connectOther: () => connect('other'),
    caPem: bench.caPem,
    handshakeMs: HANDSHAKE_MS,
  };
}

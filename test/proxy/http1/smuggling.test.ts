import { join } from 'node:path';
import type { ConnectRequest } from '../../../src/proxy/http1/server.js';
import {
  judgeSmuggling,
  loadSmugglingCases,
  type SmugglingCase,
} from '../../support/corpus/smuggling-cases.js';
import { readAnswers } from '../../support/http1-answers.js';
import { facts, recordingOptions, serve } from './harness.js';

const MODES = { 'transparent-http': 'transparent', 'in-tls': 'tls', 'explicit-proxy': 'proxy' } as const;

/** What the gateway would be told: the flow's name on plain HTTP, the SNI inside TLS. */
function factsOf({ mode, sni }: SmugglingCase) {
  if (mode === 'in-tls') return facts('tls', sni ?? null);
  return facts(MODES[mode], mode === 'explicit-proxy' ? null : 'allowed.test');
}

async function run(testCase: SmugglingCase) {
  const onConnect = async (connect: ConnectRequest): Promise<void> => {
    connect.refuse(403, Buffer.from('{}'));
  };
  const { options, requests } = recordingOptions(factsOf(testCase), {
    onConnect,
    limits: { contentBytes: 100_000_000, lingerMs: 200 },
  });
  const served = await serve(options);
  served.client.write(Buffer.from(testCase.raw_b64, 'base64'));
  // Whatever is certain is said before the sender gives up; the rest is judged by the end of its bytes.
  const closedFirst = await Promise.race([served.received.then(() => true), pause(40)]);
  if (closedFirst !== true) served.client.end();
  const received = await served.received;
  served.close();
  await served.done;
  const statuses = readAnswers(
    received,
    requests.map(request => request.method),
  ).filter(({ status }) => status >= 200);
  const seen = { statuses: statuses.map(({ status }) => status), closed: true, upstream: requests };
  return { judgement: judgeSmuggling(testCase, seen), closedFirst };
}

function pause(ms: number): Promise<null> {
  return new Promise(resolve => setTimeout(resolve, ms, null));
}

const CASES = loadSmugglingCases(join(__dirname, '../../corpus'));

describe('serveHttp1 reads each smuggling case once', () => {
  for (const testCase of CASES) {
    test(`${testCase.id} ${testCase.category}: ${testCase.note}`, async () => {
      const { judgement } = await run(testCase);
      if (!judgement.pass) throw new Error(judgement.seen);
    });
  }
});

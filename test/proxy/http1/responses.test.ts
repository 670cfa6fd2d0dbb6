import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import {
  judgeResponse,
  loadResponseCases,
  NEXT_BODY,
  type ResponseCase,
  type SeenResponse,
  upstreamBytes,
} from '../../support/corpus/response-cases.js';
import { readAnswers, type SeenAnswer } from '../../support/http1-answers.js';
import { listenRelay, rawUpstream, relayOptions } from './relay.js';

const CATEGORIES = new Set(['framing', 'redirect', 'websocket', 'stall']);
const NEXT = `HTTP/1.1 200 OK\r\nContent-Length: ${NEXT_BODY.length}\r\n\r\n${NEXT_BODY}`;

/** The upstream answers `/case` with the case's bytes and anything else with its own content. */
async function startUpstream(testCase: ResponseCase) {
  const bytes = upstreamBytes(testCase);
  const stalls = testCase.segments !== undefined;
  return rawUpstream(socket => {
    socket.on('data', chunk => {
      if (!chunk.toString('latin1').includes(' /case ')) {
        socket.write(NEXT);
        return;
      }
      socket.write(bytes);
      if (!stalls) setTimeout(() => socket.end(), 30).unref();
    });
  });
}

async function exchange(port: number, path: string, testCase: ResponseCase): Promise<SeenResponse> {
  const guest = connect({ port, host: '127.0.0.1' });
  const { method, headers } = testCase.request;
  const fields = path === '/case' ? headers : [];
  guest.write(
    [`${method} ${path} HTTP/1.1`, 'Host: api.allowed.test', ...fields, '', ''].join('\r\n'),
    'latin1',
  );
  const final = await finalAnswer(guest, method);
  guest.destroy();
  return {
    status: final?.status ?? null,
    fields: final?.fields ?? [],
    body: final?.body ?? '',
    complete: final?.complete ?? false,
    nextBody: null,
  };
}

/** The first answer that is not interim, as soon as it is whole, or what there is of it at the end. */
function finalAnswer(guest: Socket, method: string): Promise<SeenAnswer | undefined> {
  let bytes = Buffer.alloc(0);
  const read = () => readAnswers(bytes, [method]).find(({ status }) => status === 101 || status >= 200);
  return new Promise(resolve => {
    guest.on('data', chunk => {
      bytes = Buffer.concat([bytes, chunk]);
      if (read()?.complete) resolve(read());
    });
    guest.on('error', () => {}).on('close', () => resolve(read()));
  });
}

describe('a relay reads each upstream once', () => {
  for (const testCase of loadResponseCases(join(__dirname, '../../corpus'))) {
    if (!CATEGORIES.has(testCase.category)) continue;
    test(`${testCase.id} ${testCase.category}: ${testCase.note}`, async () => {
      const upstream = await startUpstream(testCase);
      // Only who is meant to stall is hurried: a busy machine is slow too.
      const limits = testCase.category === 'stall' ? { headMs: 400, contentIdleMs: 400 } : {};
      const relay = await listenRelay(
        relayOptions(upstream.port, { limits }, { limits: { halfClosedMs: 500, lingerMs: 100 } }),
      );
      const first = await exchange(relay.port, '/case', testCase);
      const next = await exchange(relay.port, '/next', testCase);
      relay.close();
      upstream.close();
      const { pass, seen } = judgeResponse(testCase, { ...first, nextBody: next.body });
      if (!pass) throw new Error(seen);
    });
  }
});

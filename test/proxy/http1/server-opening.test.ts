/** What a connection speaks is judged by its first bytes, before a request or a fault is made of them. */
import fc from 'fast-check';
import type { Opening } from '../../../src/proxy/http1/server-options.js';
import { readAnswers } from '../../support/http1-answers.js';
import { recordingOptions, serve } from './harness.js';
import { FACTS, GET } from './server-harness.js';

/** `G` is HTTP, `X` is not, and a blank could be either. */
function opening(told: string[], silenceMs = 5_000): Opening {
  return {
    isHttp: bytes => (bytes.includes('G') ? true : bytes.includes('X') ? false : null),
    onHttp: () => void told.push('http'),
    onOther: () => void told.push('other'),
    silenceMs,
  };
}

async function say(pieces: readonly string[], end: boolean, silenceMs?: number) {
  const told: string[] = [];
  const { options, requests, faults } = recordingOptions(FACTS, {
    opening: opening(told, silenceMs),
    limits: { headMs: 50, lingerMs: 20 },
  });
  const served = await serve(options);
  served.client.on('error', () => undefined);
  for (const piece of pieces) {
    served.client.write(piece);
    await new Promise(resolve => setImmediate(resolve));
  }
  if (end) served.client.end();
  const answers = readAnswers(await served.received.catch(() => Buffer.alloc(0)));
  await served.done;
  return {
    told,
    answers: answers.map(({ status }) => status),
    requests: requests.length,
    faults: faults.length,
  };
}

test('bytes that are HTTP are told once, before they are read', async () => {
  expect(await say([GET], true)).toEqual({ told: ['http'], answers: [200], requests: 1, faults: 0 });
  expect(await say([GET, GET], true)).toMatchObject({ told: ['http'], answers: [200, 200] });
});

test('bytes that are not HTTP end the connection without a word', async () => {
  const none = { answers: [], requests: 0, faults: 0 };
  expect(await say(['X'], false)).toEqual({ told: ['other'], ...none });
  expect(await say([' ', 'X', GET], false)).toEqual({ told: ['other'], ...none });
});

const unsaid: [name: string, pieces: string[], end: boolean, silenceMs: number][] = [
  ['ends before it has said anything', [], true, 5_000],
  ['ends before it has said what it speaks', [' '], true, 5_000],
  ['says nothing', [], false, 30],
  ['does not go on', [' '], false, 5_000],
];

for (const [name, pieces, end, silenceMs] of unsaid) {
  test(`a client that ${name} is let go without a word`, async () => {
    expect(await say(pieces, end, silenceMs)).toEqual({ told: [], answers: [], requests: 0, faults: 0 });
  });
}

test('how the first bytes are cut makes no difference', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(GET.length - 1), async at => {
      const pieces = at === 0 ? [GET] : [GET.slice(0, at), GET.slice(at)];
      expect(await say(pieces, true)).toMatchObject({ told: ['http'], answers: [200] });
    }),
    { seed: 1, numRuns: 20 },
  );
});

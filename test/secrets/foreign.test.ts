/** Another sandbox's placeholder in the content of a request: noticed, however it comes, and told with its owner. */
import { gzipSync } from 'node:zlib';
import { guardContent } from '../../src/secrets/content.js';
import type { Leak } from '../../src/secrets/scan.js';
import { CENSOR, type SandboxSecrets, SecretStore } from '../../src/secrets/store.js';
import { substitute } from '../../src/secrets/substitute.js';
import { type Bench, openBench } from '../support/bench.js';
import { raw } from '../support/upstream.js';
import { A, KEY, loaded, outbound, setOf } from './fixtures.js';

const SET = setOf(loaded('A', A.value));

/** Where all of the sandbox's own secrets may go, so that nothing else is looked for. */
function guardOf(secrets: SandboxSecrets, coding?: string) {
  const departing = substitute(secrets, outbound({ inScope: ['A'] }));
  if (!departing.ok) throw new Error(JSON.stringify(departing.leaks));
  return guardContent(secrets, departing, coding === undefined ? [] : [['content-encoding', coding]]);
}

async function send(secrets: SandboxSecrets, content: Uint8Array, cut: number, coding?: string) {
  const guard = guardOf(secrets, coding);
  const sent: Uint8Array[] = [];
  let leak: Leak | null = null;
  for (let from = 0; from < content.length && leak === null; from += cut) {
    const step = await guard?.push(content.subarray(from, from + cut));
    leak = step?.leak ?? null;
    if (step !== undefined && leak === null) sent.push(Buffer.from(step.forward));
  }
  const last = leak === null ? await guard?.end() : undefined;
  guard?.close();
  return { leak: leak ?? last?.leak ?? null, text: Buffer.concat([...sent, last?.forward ?? Buffer.of()]) };
}

test('a sandbox that is alone pays nothing: its content passes untouched', () => {
  const store = new SecretStore(KEY, 'run');
  store.forSandbox(CENSOR, SET);
  expect(guardOf(store.forSandbox('vm', SET))).toBeNull();
});

test.each([1, 2, 7, 36, 37, 4_096])('it is found in pieces of %i, and never sent whole', async cut => {
  const store = new SecretStore(KEY, 'run');
  const secrets = store.forSandbox('vm', SET);
  const other = store.forSandbox('other', SET).placeholderOf('A');
  const content = Buffer.from(`${'x'.repeat(100)} GWPH_ GWPH_GWPH_ ${other} y`);
  const { leak, text } = await send(secrets, content, cut);
  expect(leak).toMatchObject({ place: 'body', encoding: 'plain', reason: 'foreign' });
  expect(leak?.owner).toEqual({ run: 'run', sandbox: 'other', secret: 'A' });
  expect(text.includes(other)).toBe(false);
});

test('it is found in what was compressed', async () => {
  const store = new SecretStore(KEY, 'run');
  const secrets = store.forSandbox('vm', SET);
  const other = store.forSandbox('other', SET).placeholderOf('A');
  for (const coding of ['gzip', undefined]) {
    const { leak } = await send(secrets, gzipSync(`${'x'.repeat(999)}${other}`), 50, coding);
    expect(leak).toMatchObject({ encoding: 'compressed', reason: 'foreign' });
  }
});

test('what has its shape, its own and what nobody made pass', async () => {
  const store = new SecretStore(KEY, 'run');
  const secrets = store.forSandbox('vm', SET);
  store.forSandbox('other', SET);
  const content = Buffer.from(`${secrets.placeholderOf('A')} GWPH_${'f'.repeat(32)} GWPH_`);
  for (const cut of [1, 5, 4_096]) {
    const { leak, text } = await send(secrets, content, cut);
    expect([leak, text.toString()]).toEqual([null, content.toString()]);
  }
});

describe('through a gateway', () => {
  let bench: Bench;
  let other = '';
  beforeAll(async () => {
    bench = await openBench({
      policy: { allow_domain: ['allowed.test'], secrets: { A: { hosts: ['allowed.test'] } } },
      env: { A: A.value },
    });
    other = String(bench.gateway.admit('other').environment({}).A);
  });
  afterAll(() => bench[Symbol.asyncDispose]());

  const framed: readonly (readonly [string, () => string])[] = [
    ['a content with a length', () => `Content-Length: ${other.length + 2}\r\n\r\n"${other}"`],
    [
      'chunks that cut it',
      () =>
        `Transfer-Encoding: chunked\r\n\r\n9\r\n${other.slice(0, 9)}\r\n1c\r\n${other.slice(9)}\r\n0\r\n\r\n`,
    ],
    ['a trailer', () => `Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-T: ${other}\r\n\r\n`],
  ];
  test.each(framed)('%s does not leave, and the incident names whose it is', async (_what, rest) => {
    bench.clear();
    const socket = await bench.connectTls({ host: 'allowed.test', port: 443 });
    const head = 'POST / HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n';
    const { answers } = await raw(socket, Buffer.from(head + rest()), {
      halfCloseAfterMs: null,
      timeoutMs: 5_000,
    });
    expect(answers[0]?.status).toBe(403);
    expect(bench.secure.requests).toEqual([]);
    const told = bench.events.find(({ type }) => type === 'secret.leak')?.network;
    expect(told?.block_reason).toMatch(/foreign, of sandbox other in run/);
    expect(told?.secrets).toEqual(['A']);
  });

  test('a stream that is under way is cut off', async () => {
    bench.clear();
    const socket = await bench.connectTls({ host: 'allowed.test', port: 443 });
    const piece = 'x'.repeat(50_000);
    const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
    const head = 'POST / HTTP/1.1\r\nHost: allowed.test\r\nTransfer-Encoding: chunked\r\n\r\n';
    const request = head + chunk(piece).repeat(8) + chunk(other) + chunk('');
    const { answers } = await raw(socket, Buffer.from(request), { halfCloseAfterMs: null, timeoutMs: 5_000 });
    expect(answers.map(({ status }) => status)).toEqual([403]);
    expect(bench.secure.requests.some(({ body }) => body.includes(other))).toBe(false);
    expect(bench.events.map(({ type }) => type)).toContain('secret.leak');
  });
});

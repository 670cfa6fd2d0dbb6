import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { encodeEvent } from '../../src/events/encode.js';
import type { Event } from '../../src/events/event.js';
import { trustRoots } from '../../src/proxy/upstream/trust.js';
import { createWebhook, type WebhookOptions } from '../../src/sinks/webhook.js';
import { allowedBody, numbered } from '../support/events.js';
import { issue, makeTestCa } from '../support/tls.js';

interface Seen {
  readonly path: string | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

type Answer = (request: http.IncomingMessage, response: http.ServerResponse) => void;

const NOW = 1_700_000_000_500;
const clock = { now: () => NOW, monotonic: () => 0 };
const BATCH: readonly Event[] = [numbered(allowedBody(), 1), numbered(allowedBody(), 2)];
const open: Server[] = [];

afterEach(() => {
  for (const server of open.splice(0)) {
    server.close();
    (server as http.Server).closeAllConnections();
  }
});

async function receiver(answer: Answer, tls?: https.ServerOptions): Promise<{ port: number; seen: Seen[] }> {
  const seen: Seen[] = [];
  const take: Answer = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', () => {
      seen.push({ path: request.url, headers: request.headers, body: Buffer.concat(chunks).toString() });
      answer(request, response);
    });
    request.on('error', () => undefined);
  };
  const server = tls ? https.createServer(tls, take) : http.createServer(take);
  server.on('tlsClientError', () => undefined);
  open.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, seen };
}

function webhook(url: string, options: Partial<WebhookOptions> = {}) {
  return createWebhook({
    url: new URL(url),
    encode: encodeEvent,
    secret: 'the-key',
    clock,
    ...options,
  });
}

const forever = new AbortController().signal;

test('a batch is one POST of JSON lines, signed over its time and its bytes', async () => {
  const { port, seen } = await receiver((_request, response) => response.writeHead(202).end());
  const hook = webhook(`http://127.0.0.1:${port}/in?x=1`, {
    headers: new Map([['authorization', 'Bearer abc']]),
  });
  expect(await hook.deliver(BATCH, forever)).toEqual({ ok: true, value: undefined });
  await hook.close?.();
  const [{ path, headers, body }] = seen as [Seen];
  expect(path).toBe('/in?x=1');
  expect(body).toBe(BATCH.map(encodeEvent).join(''));
  expect(headers).toMatchObject({ 'content-type': 'application/x-ndjson', authorization: 'Bearer abc' });
  const [, time, mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['sallyport-signature'])) ?? [];
  expect(time).toBe('1700000000');
  expect(mac).toBe(createHmac('sha256', 'the-key').update(`${time}.${body}`).digest('hex'));
});

test('the idempotency key is the same for the same events and another for others', async () => {
  const { port, seen } = await receiver((_request, response) => response.writeHead(204).end());
  const hook = webhook(`http://127.0.0.1:${port}/`, { secret: null });
  for (const batch of [BATCH, BATCH, BATCH.slice(0, 1)]) await hook.deliver(batch, forever);
  await hook.close?.();
  const keys = seen.map(({ headers }) => String(headers['idempotency-key']));
  expect(keys[0]).toContain(`${BATCH[0]?.id}..${BATCH[1]?.id};2;`);
  expect(keys[1]).toBe(keys[0]);
  expect(keys[2]).not.toBe(keys[0]);
  expect(seen[0]?.headers).not.toHaveProperty('sallyport-signature');
});

test.each([
  [500, false],
  [503, false],
  [401, false],
  [404, false],
  [429, false],
  [400, true],
  [413, true],
  [422, true],
])('an answer of %d is a fault; that the batch itself was refused: %s', async (status, final) => {
  const { port } = await receiver((_request, response) => response.writeHead(status).end('no'));
  const hook = webhook(`http://127.0.0.1:${port}/`);
  expect(await hook.deliver(BATCH, forever)).toEqual({
    ok: false,
    error: { message: `it answered ${status}`, final },
  });
  await hook.close?.();
});

test.each([301, 302, 303, 307, 308])(
  'a redirect (%d) is a fault, and where it leads nobody goes',
  async status => {
    const other = await receiver((_request, response) => response.writeHead(200).end());
    const { port } = await receiver((_request, response) =>
      response.writeHead(status, { location: `http://127.0.0.1:${other.port}/` }).end(),
    );
    const hook = webhook(`http://127.0.0.1:${port}/`);
    expect(await hook.deliver(BATCH, forever)).toEqual({
      ok: false,
      error: { message: `it answered ${status}, and no redirect is followed`, final: false },
    });
    await hook.close?.();
    expect(other.seen).toEqual([]);
  },
);

test.each([
  ['7', 7_000],
  ['Tue, 14 Nov 2023 22:13:25 GMT', 4_500],
  ['Tue, 14 Nov 2000 22:13:25 GMT', 0],
])('Retry-After: %s asks for %d ms', async (value, retryAfterMs) => {
  const { port } = await receiver((_request, response) =>
    response.writeHead(503, { 'retry-after': value }).end(),
  );
  const hook = webhook(`http://127.0.0.1:${port}/`);
  expect(await hook.deliver(BATCH, forever)).toMatchObject({ error: { retryAfterMs } });
  await hook.close?.();
});

test('a receiver that hangs is left when the signal fires', async () => {
  const { port, seen } = await receiver(() => undefined);
  const hook = webhook(`http://127.0.0.1:${port}/`);
  const abort = new AbortController();
  const attempt = hook.deliver(BATCH, abort.signal);
  while (seen.length === 0) await new Promise(resolve => setImmediate(resolve));
  abort.abort();
  expect(await attempt).toMatchObject({ ok: false, error: { final: false } });
  await hook.close?.();
});

test('an answer without an end is not read to its end', async () => {
  const { port } = await receiver((_request, response) => {
    response.writeHead(200);
    const more = (): void => {
      while (!response.destroyed && response.write('x'.repeat(16 * 1024)));
      if (!response.destroyed) response.once('drain', more);
    };
    more();
  });
  const hook = webhook(`http://127.0.0.1:${port}/`);
  expect(await hook.deliver(BATCH, forever)).toEqual({ ok: true, value: undefined });
  await hook.close?.();
});

test('nobody listens: a fault that may pass', async () => {
  const { port } = await receiver(() => undefined);
  for (const server of open.splice(0)) await new Promise(resolve => server.close(resolve));
  const hook = webhook(`http://127.0.0.1:${port}/`);
  expect(await hook.deliver(BATCH, forever)).toEqual({
    ok: false,
    error: { message: 'it cannot be reached (ECONNREFUSED)', final: false },
  });
  await hook.close?.();
});

test.each([
  ['its authority is trusted and its name stands in it', ['127.0.0.1'], true, true],
  ['its authority is not trusted', ['127.0.0.1'], false, false],
  ['another name stands in it', ['other.test'], true, false],
])('over TLS a certificate is believed where %s', async (_name, names, trusted, want) => {
  const ca = makeTestCa();
  const { keyPem, certPem } = issue(ca, { names });
  const { port, seen } = await receiver((_request, response) => response.writeHead(200).end(), {
    key: keyPem,
    cert: certPem,
  });
  const secureContext = trustRoots([trusted ? ca.certPem : makeTestCa().certPem]).context;
  const hook = webhook(`https://127.0.0.1:${port}/`, { secureContext });
  expect((await hook.deliver(BATCH, forever)).ok).toBe(want);
  expect(seen).toHaveLength(want ? 1 : 0);
  await hook.close?.();
});

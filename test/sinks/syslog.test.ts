import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import tls from 'node:tls';
import { encodeEvent } from '../../src/events/encode.js';
import type { Event } from '../../src/events/event.js';
import { trustRoots } from '../../src/proxy/upstream/trust.js';
import { emitSyslog, frame, type SyslogFacts } from '../../src/sinks/rfc5424.js';
import { createSyslog } from '../../src/sinks/syslog.js';
import { allowedBody, networkOf, numbered, refusedBody } from '../support/events.js';
import { issue, makeTestCa } from '../support/tls.js';

const FACTS: SyslogFacts = { hostname: 'host.test', appName: 'sallyport', facility: 16, encode: encodeEvent };

/** RFC 5424 §6, read by its grammar. */
const MESSAGE =
  /^<(\d{1,3})>1 (-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([\x21-\x7e]{1,255}) ([\x21-\x7e]{1,48}) ([\x21-\x7e]{1,128}) ([\x21-\x7e]{1,32}) \[sallyport@32473((?: [a-z]+="(?:[^"\\\]]|\\["\\\]])*")*)\] (.*)$/;

test('a message has priority, time, names, structured data, and the line of the event', () => {
  const event = numbered(refusedBody(), 7);
  const [, priority, time, host, app, process, id, data, line] = MESSAGE.exec(emitSyslog(event, FACTS)) ?? [];
  expect([priority, time, host, app, process, id]).toEqual([
    '133',
    '2023-11-14T22:13:20.007Z',
    'host.test',
    'sallyport',
    'g1',
    'request.refused',
  ]);
  expect(data).toBe(' id="g1-7" seq="7" sandbox="sb1" decision="deny" host="allowed.test" reason="no-rule"');
  expect(`${line}\n`).toBe(encodeEvent(event));
});

test.each([
  ['secret.leak', 3],
  ['gateway.dropped', 4],
  ['request.refused', 5],
  ['request.done', 6],
] as const)('%s has severity %d', (type, severity) => {
  const network = networkOf({ decision: type === 'request.refused' ? 'deny' : 'allow' });
  const body = type === 'gateway.dropped' ? { gateway: { message: 'm', detail: [] } } : { network };
  expect(emitSyslog(numbered({ type, sandbox: null, ...body }, 1), FACTS)).toMatch(`<${16 * 8 + severity}>`);
});

test('what strangers wrote stays one message of the grammar', () => {
  const hostile = 'a"] <13>1 - - - - - -\r\n\u0000\\\u202e\ud800';
  const event = {
    ...numbered(allowedBody({ host: hostile, url: hostile, reason: hostile }), 1),
    sandbox: hostile,
  };
  const message = emitSyslog(
    { ...event, timestamp: Number.NaN },
    { ...FACTS, hostname: 'a b\u00e9', appName: '' },
  );
  expect(message).toMatch(MESSAGE);
  expect(message).toMatch(/^[\x20-\x7e]*$/);
  expect(message).toMatch(/^<134>1 - a_b_ - g1 request\.done /);
});

test('a frame counts octets', () => {
  expect(frame('<134>1 x')).toBe('8 <134>1 x');
});

const open: Server[] = [];
const sockets = new Set<tls.TLSSocket>();

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await Promise.all(open.splice(0).map(server => new Promise(resolve => server.close(resolve))));
});

const ca = makeTestCa();

/** Reads frames; `port` to take one that was used before. */
async function collector(names: readonly string[] = ['127.0.0.1'], port = 0) {
  const { keyPem, certPem } = issue(ca, { names });
  const messages: string[] = [];
  const server = tls.createServer({ key: keyPem, cert: certPem }, socket => {
    sockets.add(socket);
    let text = '';
    socket.on('error', () => undefined);
    socket.setEncoding('latin1').on('data', chunk => {
      text += chunk;
      for (let space = text.indexOf(' '); space > 0; space = text.indexOf(' ')) {
        const length = Number(text.slice(0, space));
        if (text.length < space + 1 + length) return;
        messages.push(text.slice(space + 1, space + 1 + length));
        text = text.slice(space + 1 + length);
      }
    });
  });
  server.on('tlsClientError', () => undefined);
  open.push(server);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, messages, server };
}

const trusted = trustRoots([ca.certPem]).context;
const forever = new AbortController().signal;

function syslog(port: number, secureContext = trusted) {
  return createSyslog({ ...FACTS, host: '127.0.0.1', port, secureContext });
}

const batch = (from: number, to: number): Event[] =>
  Array.from({ length: to - from + 1 }, (_, i) => numbered(allowedBody(), from + i));

test('a collector over TLS reads each event as one message, over one connection', async () => {
  const { port, messages } = await collector();
  const transport = syslog(port);
  for (const events of [batch(1, 100), batch(101, 103)]) {
    expect(await transport.deliver(events, forever)).toEqual({ ok: true, value: undefined });
  }
  await transport.close?.();
  expect(messages).toEqual(batch(1, 103).map(event => emitSyslog(event, FACTS)));
  expect(sockets.size).toBe(1);
});

test('a collector that went away and came back is connected to anew', async () => {
  const first = await collector();
  const transport = syslog(first.port);
  await transport.deliver(batch(1, 1), forever);
  for (const socket of sockets) socket.destroy();
  await new Promise(resolve => first.server.close(resolve));
  open.length = 0;
  expect(await transport.deliver(batch(2, 2), forever)).toMatchObject({ ok: false, error: { final: false } });
  const second = await collector(['127.0.0.1'], first.port);
  expect(await transport.deliver(batch(2, 2), forever)).toMatchObject({ ok: true });
  await transport.close?.();
  expect(second.messages).toEqual([emitSyslog(numbered(allowedBody(), 2), FACTS)]);
});

test.each([
  ['another name', ['other.test'], trusted],
  ['an authority that is not trusted', ['127.0.0.1'], trustRoots([makeTestCa().certPem]).context],
])('a collector with %s gets nothing', async (_name, names, context) => {
  const { port, messages } = await collector(names);
  const transport = syslog(port, context);
  expect(await transport.deliver(batch(1, 1), forever)).toMatchObject({ ok: false });
  await transport.close?.();
  expect(messages).toEqual([]);
});

test('a collector that does not read is left when the signal fires', async () => {
  const { port } = await collector();
  open[0]?.removeAllListeners('secureConnection');
  open[0]?.on('secureConnection', (socket: tls.TLSSocket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).pause();
  });
  const transport = syslog(port);
  const abort = new AbortController();
  const url = `https://a.test/${'x'.repeat(8_000)}`;
  const many = Array.from({ length: 4_000 }, (_, i) => numbered(allowedBody({ url }), i + 1));
  const attempt = transport.deliver(many, abort.signal);
  while (sockets.size === 0) await new Promise(resolve => setTimeout(resolve, 5));
  abort.abort();
  expect(await attempt).toMatchObject({ ok: false, error: { final: false } });
  await transport.close?.();
});

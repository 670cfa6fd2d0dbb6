/** Sinks of `sallyport run`: a real command in a real sandbox, a real receiver on loopback. */
import { createHmac } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import http, { type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Event } from '../../src/events/event.js';
import { Stage } from './stage.js';

const KEY = 'a-key-that-only-the-gateway-has';
const stage = new Stage();
const received: { readonly headers: IncomingHttpHeaders; readonly body: string }[] = [];
const receiver = http.createServer((request, response) => {
  let body = '';
  request.setEncoding('utf8').on('data', chunk => {
    body += chunk;
  });
  request.on('end', () => {
    received.push({ headers: request.headers, body });
    response.writeHead(200).end();
  });
});
let hook = '';

beforeAll(async () => {
  await stage.https('api.test', (_request, response) => response.end('hello'));
  await new Promise<void>(resolve => receiver.listen(0, '127.0.0.1', resolve));
  hook = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`;
});

beforeEach(() => {
  received.length = 0;
});

afterAll(async () => {
  receiver.closeAllConnections();
  receiver.close();
  await stage.close();
});

const eventsIn = (text: string): Event[] =>
  text
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Event);

test('a webhook has every event of the run, signed; the sandbox has neither its key, its file nor its address', async () => {
  const keyFile = stage.place.file('token', 'bearer-of-the-gateway\n');
  const file = stage.place.file(
    'sinks.yaml',
    `sinks:
  - type: webhook
    url: ${hook}
    secret_from: { env: SINK_KEY }
    headers: { authorization: { file: ${keyFile} } }
    dead_letter: { file: ${join(stage.place.dir, 'dead.jsonl')} }
`,
  );
  const { code, stdout, events } = await stage.sh(
    `curl -s https://api.test/; echo; env; cat ${file} ${keyFile} dead.jsonl; curl -s -m 5 ${hook}; echo "curl $?"`,
    { flags: ['--events', file, '--env', 'SINK_KEY'], env: { SINK_KEY: KEY } },
  );
  expect(code).toBe(0);
  expect(stdout).toContain('hello');
  expect(stdout).not.toContain(KEY);
  expect(stdout).not.toContain('bearer-of-the-gateway');
  expect(stdout).not.toContain('type: webhook');
  expect(stdout).not.toContain('curl 0');
  const told = received.flatMap(({ body }) => eventsIn(body));
  expect(told).toEqual(events);
  expect(told.map(({ seq }) => seq)).toEqual(told.map((_event, i) => i + 1));
  for (const { headers, body } of received) {
    expect(headers.authorization).toBe('bearer-of-the-gateway');
    const [, time, mac] = /^t=(\d+),v1=([0-9a-f]+)$/.exec(String(headers['sallyport-signature'])) ?? [];
    expect(mac).toBe(createHmac('sha256', KEY).update(`${time}.${body}`).digest('hex'));
  }
  expect(readFileSync(join(stage.place.dir, 'dead.jsonl'), 'utf8')).toBe('');
});

test('--event-sink takes a URL, and several sinks have the same events', async () => {
  const log = join(stage.place.dir, 'more.jsonl');
  const { events } = await stage.sh('curl -s https://api.test/', {
    flags: ['--event-sink', hook, '--event-sink', `file:${log}`],
  });
  expect(received.flatMap(({ body }) => eventsIn(body))).toEqual(events);
  expect(eventsIn(readFileSync(log, 'utf8'))).toEqual(events);
});

test('a receiver that is gone ends no run: what it did not get lies in the dead letters', async () => {
  const dead = join(stage.place.dir, 'gone.jsonl');
  const file = stage.place.file(
    'gone.yaml',
    `sinks:
  - type: webhook
    url: http://127.0.0.1:1/
    format: ocsf
    retry: { first: 10ms, give_up_after: 1s }
    dead_letter: { file: ${dead} }
`,
  );
  const { code, stderr, events } = await stage.sh('curl -s https://api.test/', { flags: ['--events', file] });
  expect(code).toBe(0);
  expect(stderr).toContain('webhook-1: it cannot be reached (ECONNREFUSED)');
  expect(eventsIn(readFileSync(dead, 'utf8'))).toEqual(events);
});

test('a log that rotates is hidden with its folder, and may not lie where the sandbox works', async () => {
  const folder = join(stage.place.dir, 'logs');
  mkdirSync(folder);
  const good = stage.place.file(
    'rotate.yaml',
    `sinks: [{ type: file, path: ${join(folder, 'e.jsonl')}, rotate: { size: 1KiB } }]`,
  );
  const { code, stdout } = await stage.sh(
    `for i in 1 2 3 4; do curl -s https://api.test/ >/dev/null; done; ls ${folder}`,
    { flags: ['--events', good] },
  );
  expect(code).toBe(0);
  expect(stdout).toBe('');
  expect(existsSync(join(folder, 'e.jsonl.1'))).toBe(true);
  const bad = stage.place.file('bad.yaml', 'sinks: [{ type: file, path: e.jsonl, rotate: { size: 1KiB } }]');
  const refused = await stage.sh('true', { flags: ['--events', bad], events: false });
  expect(refused.code).toBe(125);
  expect(refused.stderr).toMatch(/needs a folder that the sandbox does not work in/);
});

test('a file of sinks that is wrong stops the run before it begins, with every problem', async () => {
  const file = stage.place.file(
    'wrong.yaml',
    'sinks:\n  - { type: webhook, url: "https://a.test/", secret_from: { env: UNSET_KEY } }\n  - { type: file, path: /nowhere/e }\n',
  );
  const { code, stderr } = await stage.sh('echo began', { flags: ['--events', file], events: false });
  expect(code).toBe(125);
  expect(stderr).toContain('sinks[0]: the variable UNSET_KEY holds nothing');
  expect(stderr).toContain('sinks[1]: event log /nowhere/e: its folder does not exist');
});

test('a file of sinks that others may write is refused', async () => {
  const file = stage.place.file('open.yaml', 'sinks: []');
  chmodSync(file, 0o666);
  const { code, stderr } = await stage.sh('true', { flags: ['--events', file], events: false });
  expect(code).toBe(125);
  expect(stderr).toContain('can be written by others');
});

test('the event server tells a run as it happens, and no rule or pin leads a sandbox to it', async () => {
  const probe = http.createServer();
  await new Promise<void>(resolve => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise(resolve => probe.close(resolve));
  const token = stage.place.file('reader-token', 'token-of-the-reader');
  const file = stage.place.file(
    'server.yaml',
    `sinks: [{ type: server, listen: "127.0.0.1:${port}", token_from: { file: ${token} } }]`,
  );
  const script = `curl -s https://api.test/; echo; curl -s -m 5 -H 'Authorization: Bearer token-of-the-reader' http://self.test/events; read x`;
  const pin = ['--add-host', `self.test=127.0.0.1:${port}`, '--allow', 'self.test'];
  const child = stage.start(script, ['--events', file, ...pin]);
  const got: Event[] = [];
  const headers = { authorization: 'Bearer token-of-the-reader', host: `127.0.0.1:${port}` };
  const response = await new Promise<http.IncomingMessage>(resolve => {
    const attempt = (): void => {
      http
        .get({ host: '127.0.0.1', port, path: '/events?from=start', headers }, resolve)
        .on('error', () => setTimeout(attempt, 20));
    };
    attempt();
  });
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) {
    text += chunk;
    const whole = text.slice(0, text.lastIndexOf('\n\n') + 1);
    got.splice(
      0,
      got.length,
      ...eventsIn([...whole.matchAll(/^data: (.*)$/gm)].map(([, line]) => line).join('\n')),
    );
    if (got.some(({ network }) => network?.host === 'self.test' && network.blocked)) break;
  }
  child.stdin.end('\n');
  await new Promise(resolve => child.once('close', resolve));
  expect(got.map(({ seq }) => seq)).toEqual(got.map((_event, i) => i + 1));
  expect(got).toContainEqual(
    expect.objectContaining({ type: 'request.done', network: expect.objectContaining({ host: 'api.test' }) }),
  );
  const refused = got.find(({ network }) => network?.host === 'self.test' && network.blocked);
  expect(refused?.network).toMatchObject({ decision: 'deny', reason: 'gateway-address' });
});

test('--metrics is scraped while a sandbox works, and tells what its events tell', async () => {
  const socket = join(stage.place.dir, 'metrics.sock');
  const child = stage.start('curl -s https://api.test/; curl -s https://denied.test/; echo done; read x', [
    '--metrics',
    `unix:${socket}`,
  ]);
  const scrape = (): Promise<string> =>
    new Promise(resolve => {
      http
        .get({ socketPath: socket, path: '/metrics', agent: false }, response => {
          let text = '';
          response.setEncoding('utf8').on('data', chunk => {
            text += chunk;
          });
          response.on('end', () => resolve(text));
        })
        .on('error', () => setTimeout(() => scrape().then(resolve), 20));
    });
  let text = '';
  while (!/sallyport_refusals_total\{[^}]*layer="dns"/.test(text)) text = await scrape();
  child.stdin.end('\n');
  await new Promise(resolve => child.once('close', resolve));
  expect(text).toMatch(/sallyport_requests_total\{sandbox="run-[0-9a-f]+",outcome="done",status="2xx"\} 1/);
  expect(text).toMatch(/sallyport_certificates_minted_total 1/);
  expect(text).toMatch(/sallyport_request_phase_seconds_count\{phase="total"\} 1/);
  expect(existsSync(socket)).toBe(false);
});

test('a trace that the sandbox began goes on through the gateway, to the upstream and into the collector', async () => {
  const seen: unknown[] = [];
  await stage.https('trace.test', (request, response) => {
    seen.push(request.headers.traceparent);
    response.end('ok');
  });
  const port = hook.split(':')[2]?.split('/')[0];
  const parent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const { events } = await stage.sh(
    `curl -s -H 'traceparent: ${parent}' https://trace.test/; curl -s -H 'traceparent: 00-x' https://trace.test/`,
    { flags: ['--event-sink', `otlp+http://127.0.0.1:${port}`] },
  );
  expect(seen).toEqual([parent, '00-x']);
  const done = events.filter(({ type }) => type === 'request.done');
  expect(done.map(({ network }) => network?.traceparent)).toEqual([parent, undefined]);
  const spans = received
    .map(({ body }) => JSON.parse(body))
    .flatMap(({ resourceSpans = [] }) => resourceSpans)
    .flatMap(({ scopeSpans }) => scopeSpans)
    .flatMap(({ spans: some }) => some);
  expect(spans).toContainEqual(
    expect.objectContaining({
      name: 'GET',
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
      parentSpanId: '00f067aa0ba902b7',
    }),
  );
  expect(new Set(spans.map(({ name }) => name))).toEqual(
    new Set(['GET', 'connect', 'tls', 'wait', 'receive']),
  );
});

test('a sink that is fed from the spool gets in the next run what its receiver missed in this one, in order and once', async () => {
  const probe = http.createServer();
  await new Promise<void>(resolve => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise(resolve => probe.close(resolve));
  const file = stage.place.file(
    'spooled.yaml',
    `sinks: [{ type: webhook, name: late, url: "http://127.0.0.1:${port}/", back_pressure: spool, retry: { first: 50ms } }]`,
  );
  const flags = ['--spool', join(stage.place.dir, 'kept'), '--events', file];
  const away = await stage.sh('curl -s https://api.test/', { flags });
  const told: Event[] = [];
  const late = http.createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', chunk => {
      body += chunk;
    });
    request.on('end', () => {
      told.push(...eventsIn(body));
      response.writeHead(200).end();
    });
  });
  await new Promise<void>(resolve => late.listen(port, '127.0.0.1', resolve));
  const back = await stage.sh('curl -s https://api.test/', { flags });
  late.closeAllConnections();
  await new Promise(resolve => late.close(resolve));
  expect([away.code, back.code]).toEqual([0, 0]);
  const want = [...away.events, ...back.events].filter(({ type }) => type === 'request.done');
  expect(want).toHaveLength(2);
  expect(told.filter(({ type }) => type === 'request.done').map(({ id }) => id)).toEqual(
    want.map(({ id }) => id),
  );
  expect(new Set(told.map(({ id }) => id)).size).toBe(told.length);
});

import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { encodeEvent } from '../../src/events/encode.js';
import type { Event } from '../../src/events/event.js';
import { parseTraceParent } from '../../src/sinks/otel-ids.js';
import { hrTime } from '../../src/sinks/otel-spans.js';
import { createOtlp, type OtlpOptions, type Signal } from '../../src/sinks/otlp.js';
import { allowedBody, networkOf, numbered, refusedBody } from '../support/events.js';

interface Attribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

interface SpanMessage {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly status: { readonly code: number; readonly message?: string };
  readonly attributes: readonly Attribute[];
}

interface LogMessage {
  readonly timeUnixNano: string;
  readonly severityText: string;
  readonly body: { readonly stringValue: string };
  readonly traceId?: string;
  readonly spanId?: string;
  readonly attributes: readonly Attribute[];
}

/** A collector on loopback: what it was sent, by signal, and how it answers. */
class Collector {
  readonly posts: {
    readonly path: string;
    readonly headers: http.IncomingHttpHeaders;
    readonly body: unknown;
  }[] = [];
  answer: (path: string) => readonly [status: number, body: string] = () => [200, '{}'];
  readonly #server = http.createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', chunk => {
      text += chunk;
    });
    request.on('end', () => {
      const path = request.url ?? '';
      this.posts.push({ path, headers: request.headers, body: JSON.parse(text) });
      const [status, body] = this.answer(path);
      response.writeHead(status, { 'content-type': 'application/json' }).end(body);
    });
  });

  async listen(): Promise<URL> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return new URL(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`);
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  get spans(): SpanMessage[] {
    return this.#items('/v1/traces', 'resourceSpans', 'scopeSpans', 'spans') as SpanMessage[];
  }

  get logs(): LogMessage[] {
    return this.#items('/v1/logs', 'resourceLogs', 'scopeLogs', 'logRecords') as LogMessage[];
  }

  #items(path: string, ...keys: readonly string[]): unknown[] {
    const messages = this.posts.filter(post => post.path === path).map(({ body }) => body);
    return keys.reduce<unknown[]>(
      (found, key) => found.flatMap(item => (item as Record<string, unknown[]>)[key] ?? []),
      messages,
    );
  }
}

let collector: Collector;
let url: URL;

beforeEach(async () => {
  collector = new Collector();
  url = await collector.listen();
});

afterEach(() => collector.close());

function otlp(differs: Partial<OtlpOptions> = {}) {
  return createOtlp({
    url,
    signals: ['logs', 'traces'],
    serviceName: 'sallyport',
    version: '1.2.3',
    encode: encodeEvent,
    clock: { now: () => 0, monotonic: () => 0 },
    ...differs,
  });
}

const forever = new AbortController().signal;

async function delivered(events: readonly Event[], signals?: readonly Signal[]): Promise<void> {
  const transport = otlp(signals ? { signals } : {});
  expect(await transport.deliver(events, forever)).toEqual({ ok: true, value: undefined });
  await transport.close?.();
}

function attributeOf({ attributes }: { readonly attributes: readonly Attribute[] }, key: string): unknown {
  return Object.values(attributes.find(attribute => attribute.key === key)?.value ?? {})[0];
}

const timings = { dns_ms: 2, connect_ms: 3.5, tls_ms: null, first_byte_ms: 40, total_ms: 50 };
const request = (differs: Parameters<typeof allowedBody>[0] = {}, seq = 1): Event =>
  numbered(allowedBody({ timings, ...differs }), seq);

test('a request is a span, and each phase that happened is one below it, one after another', async () => {
  await delivered([request()]);
  const [root, ...phases] = collector.spans;
  expect(root).toMatchObject({ name: 'GET', kind: 2, status: { code: 0 } });
  expect(root).not.toHaveProperty('parentSpanId');
  expect(root && attributeOf(root, 'url.full')).toBe('https://allowed.test/p');
  expect(root && attributeOf(root, 'http.response.status_code')).toBe(200);
  expect(root && attributeOf(root, 'sallyport.event.id')).toBe('g1-1');
  expect(phases.map(({ name }) => name)).toEqual(['dns', 'connect', 'wait', 'receive']);
  expect(new Set([root, ...phases].map(span => span?.traceId)).size).toBe(1);
  expect(new Set([root, ...phases].map(span => span?.spanId)).size).toBe(5);
  expect(phases.every(({ parentSpanId }) => parentSpanId === root?.spanId)).toBe(true);
  const nanos = phases.map(span => [BigInt(span.startTimeUnixNano), BigInt(span.endTimeUnixNano)] as const);
  const start = BigInt(root?.startTimeUnixNano ?? 0);
  expect(nanos.map(([from, to]) => [Number(from - start) / 1e6, Number(to - start) / 1e6])).toEqual([
    [0, 2],
    [2, 5.5],
    [5.5, 45.5],
    [45.5, 50],
  ]);
  expect(BigInt(root?.endTimeUnixNano ?? 0)).toBe(1_700_000_000_001_000_000n);
});

test('a request that brought a traceparent continues its trace', async () => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  await delivered([request({ traceparent })]);
  const [root] = collector.spans;
  expect(root).toMatchObject({
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    parentSpanId: '00f067aa0ba902b7',
  });
  expect(collector.logs[0]).toMatchObject({ traceId: root?.traceId, spanId: root?.spanId });
});

test.each([
  ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00', true],
  ['00-00000000000000000000000000000000-00f067aa0ba902b7-01', false],
  ['00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01', false],
  ['ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', false],
  ['00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01', false],
  ['', false],
  [undefined, false],
])('parseTraceParent %s', (text, want) => {
  expect(parseTraceParent(text) !== null).toBe(want);
});

test('what is sent again has the same ids, and all that is said of one request the same trace', async () => {
  const leak: Event = numbered(
    { type: 'secret.leak', sandbox: 'sb1', network: networkOf({ decision: 'deny' }) },
    1,
  );
  await delivered([leak, request({}, 2)]);
  await delivered([leak, request({}, 2)]);
  const ids = collector.spans.map(({ traceId, spanId }) => `${traceId} ${spanId}`);
  expect(ids.slice(0, ids.length / 2)).toEqual(ids.slice(ids.length / 2));
  expect(new Set(collector.logs.map(({ traceId }) => traceId)).size).toBe(1);
  expect(collector.logs[0]?.traceId).toBe(collector.spans[0]?.traceId);
});

test('a refusal and a failure are errors with their reason', async () => {
  const failed: Event = numbered(
    { ...allowedBody({ reason: 'UPSTREAM_TIMEOUT', timings }), type: 'request.failed' },
    2,
  );
  await delivered([numbered(refusedBody(), 1), failed]);
  const roots = collector.spans.filter(span => attributeOf(span, 'sallyport.event.id') !== undefined);
  expect(roots.map(({ status }) => status)).toEqual([
    { code: 2, message: 'no-rule' },
    { code: 2, message: 'UPSTREAM_TIMEOUT' },
  ]);
  expect(collector.logs.map(({ severityText }) => severityText)).toEqual(['WARN', 'WARN']);
});

test('every event is a log record whose body is the line of the event log', async () => {
  const exec: Event = numbered(
    { type: 'exec.done', sandbox: 'sb1', exec: { command: ['npm', 'ci'], exit_code: 1, duration_ms: 5 } },
    2,
  );
  const fact: Event = numbered(
    { type: 'gateway.started', sandbox: null, gateway: { message: 'm', detail: [] } },
    3,
  );
  const events = [request(), exec, fact];
  await delivered(events);
  expect(collector.logs.map(({ body }) => `${body.stringValue}\n`)).toEqual(events.map(encodeEvent));
  expect(collector.logs.map(log => attributeOf(log, 'sallyport.event.id'))).toEqual(['g1-1', 'g1-2', 'g1-3']);
  expect(collector.logs[1] && attributeOf(collector.logs[1], 'process.exit.code')).toBe(1);
  expect(collector.spans.filter(span => span.parentSpanId === undefined)).toHaveLength(1);
});

test('the resource names the service, its version and the gateway', async () => {
  await delivered([request()], ['logs']);
  const [{ body }] = collector.posts as unknown as [
    { body: { resourceLogs: [{ resource: { attributes: Attribute[] } }] } },
  ];
  const { resource } = body.resourceLogs[0];
  expect(
    ['service.name', 'service.version', 'service.instance.id'].map(key => attributeOf(resource, key)),
  ).toEqual(['sallyport', '1.2.3', 'g1']);
});

test('a batch without a request posts no traces, and a sink of one signal posts no other', async () => {
  const fact: Event = numbered(
    { type: 'gateway.started', sandbox: null, gateway: { message: 'm', detail: [] } },
    1,
  );
  await delivered([fact]);
  await delivered([request()], ['traces']);
  expect(collector.posts.map(({ path }) => path)).toEqual(['/v1/logs', '/v1/traces']);
});

test('paths are put behind the collector’s own', async () => {
  const transport = otlp({ url: new URL('/otlp/', url), headers: new Map([['api-key', 'k']]) });
  await transport.deliver([request()], forever);
  await transport.close?.();
  expect(collector.posts.map(({ path, headers }) => [path, headers['api-key']])).toEqual([
    ['/otlp/v1/logs', 'k'],
    ['/otlp/v1/traces', 'k'],
  ]);
});

test('logs that have arrived are not sent again when the traces have not', async () => {
  const transport = otlp();
  collector.answer = path => (path === '/v1/traces' ? [503, ''] : [200, '{}']);
  expect(await transport.deliver([request()], forever)).toEqual({
    ok: false,
    error: { message: 'it answered 503', final: false },
  });
  collector.answer = () => [200, '{}'];
  expect(await transport.deliver([request()], forever)).toMatchObject({ ok: true });
  await transport.deliver([request({}, 2)], forever);
  await transport.close?.();
  expect(collector.posts.map(({ path }) => path)).toEqual([
    '/v1/logs',
    '/v1/traces',
    '/v1/traces',
    '/v1/logs',
    '/v1/traces',
  ]);
});

test('records that the collector rejects are a fault that will not pass', async () => {
  collector.answer = () => [200, '{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"no"}}'];
  const transport = otlp({ signals: ['logs'] });
  expect(await transport.deliver([request()], forever)).toEqual({
    ok: false,
    error: { message: 'it rejected 2 records', final: true },
  });
  await transport.close?.();
});

test('what strangers wrote arrives as it was, bounded', async () => {
  const hostile = `\r\n"}]}\u202e\ud800${'x'.repeat(100_000)}`;
  await delivered([
    request({ url: `https://a.test/${hostile}`, host: hostile, method: hostile, reason: hostile }),
  ]);
  expect(JSON.stringify(collector.posts).length).toBeLessThan(256 * 1024);
  expect(collector.spans[0]?.name.length).toBeLessThan(64);
});

test.each([
  [0, [0, 0]],
  [1_500.25, [1, 500_250_000]],
  [1_700_000_000_001, [1_700_000_000, 1_000_000]],
  [-5, [0, 0]],
])('hrTime %d', (ms, want) => {
  expect(hrTime(ms)).toEqual(want);
});

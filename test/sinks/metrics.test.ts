import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EventBody } from '../../src/events/event.js';
import { parseSinks } from '../../src/sinks/document.js';
import { Metrics } from '../../src/sinks/metrics.js';
import {
  type MetricsServer,
  type MetricsServerOptions,
  openMetrics,
} from '../../src/sinks/metrics-server.js';
import { COUNTERS, type CounterName, Tally } from '../../src/sinks/tally.js';
import { allowedBody, networkOf, numbered, refusedBody } from '../support/events.js';

function tallyOf(bodies: readonly EventBody[], sandboxes = 10): Tally {
  const tally = new Tally({ sandboxes });
  bodies.forEach((body, i) => {
    tally.count(numbered(body, i + 1));
  });
  return tally;
}

const flow = (type: EventBody['type'], sandbox = 'sb1'): EventBody => {
  return { type, sandbox, network: networkOf({ layer: 'tcp', method: '', url: '', status_code: 0 }) };
};

const cases: readonly (readonly [CounterName, readonly EventBody[], readonly unknown[]])[] = [
  [
    'sallyport_requests_total',
    [allowedBody(), allowedBody(), refusedBody(), allowedBody({ status_code: 0 })],
    [
      { labels: { sandbox: 'sb1', outcome: 'done', status: '2xx' }, value: 2 },
      { labels: { sandbox: 'sb1', outcome: 'refused', status: '4xx' }, value: 1 },
      { labels: { sandbox: 'sb1', outcome: 'done', status: 'none' }, value: 1 },
    ],
  ],
  [
    'sallyport_refusals_total',
    [
      refusedBody(),
      refusedBody({ layer: 'dns' }),
      { ...refusedBody({ reason: null }), type: 'flow.refused' },
    ],
    [
      { labels: { sandbox: 'sb1', layer: 'http', reason: 'no-rule' }, value: 1 },
      { labels: { sandbox: 'sb1', layer: 'dns', reason: 'no-rule' }, value: 1 },
      { labels: { sandbox: 'sb1', layer: 'http', reason: 'unknown' }, value: 1 },
    ],
  ],
  [
    'sallyport_request_bytes_total',
    [
      allowedBody({ request_bytes: 10, response_bytes: 20 }),
      allowedBody({ request_bytes: 1, response_bytes: 2 }),
    ],
    [
      { labels: { sandbox: 'sb1', direction: 'sent' }, value: 11 },
      { labels: { sandbox: 'sb1', direction: 'received' }, value: 22 },
    ],
  ],
  [
    'sallyport_flows_total',
    [flow('flow.opened'), flow('flow.closed'), flow('flow.refused')],
    ['opened', 'closed', 'refused'].map(outcome => ({ labels: { sandbox: 'sb1', outcome }, value: 1 })),
  ],
  [
    'sallyport_commands_total',
    [
      { type: 'exec.started', sandbox: 'sb1', exec: { command: ['a'], exit_code: null, duration_ms: 0 } },
      { type: 'exec.done', sandbox: 'sb1', exec: { command: ['a'], exit_code: 0, duration_ms: 1 } },
      { type: 'exec.done', sandbox: 'sb1', exec: { command: ['a'], exit_code: null, duration_ms: 1 } },
    ],
    ['started', 'succeeded', 'failed'].map(outcome => ({ labels: { sandbox: 'sb1', outcome }, value: 1 })),
  ],
  [
    'sallyport_secret_events_total',
    [{ type: 'secret.leak', sandbox: 'sb1', network: networkOf({ decision: 'deny' }) }],
    [{ labels: { sandbox: 'sb1', kind: 'leak' }, value: 1 }],
  ],
  [
    'sallyport_failures_total',
    [{ ...allowedBody({ reason: 'UPSTREAM_TIMEOUT' }), type: 'request.failed' }],
    [{ labels: { reason: 'UPSTREAM_TIMEOUT' }, value: 1 }],
  ],
];

test.each(cases)('%s counts what its help says', (name, bodies, want) => {
  expect(tallyOf(bodies).values(name)).toEqual(want);
});

test('open connections are those that opened and have not closed', () => {
  const tally = tallyOf([
    flow('flow.opened'),
    flow('flow.opened'),
    flow('flow.closed'),
    flow('flow.refused'),
  ]);
  expect(tally.openFlows).toBe(1);
});

test('however many sandboxes come and go, labels are bounded and no total goes down', () => {
  const tally = new Tally({ sandboxes: 5 });
  let total = 0;
  for (let seq = 1; seq <= 5_000; seq++) {
    tally.count(numbered({ ...allowedBody(), sandbox: `sb-${(seq * 7919) % 1_000}` }, seq));
    const values = tally.values('sallyport_requests_total');
    const now = values.reduce((sum, { value }) => sum + value, 0);
    expect(now).toBe(total + 1);
    total = now;
    expect(values.length).toBeLessThanOrEqual(6);
  }
  expect(tally.values('sallyport_requests_total').map(({ labels }) => labels.sandbox)).toContain('other');
});

test('a sandbox that is heard of keeps its label; the one that was silent the longest gives its own up', () => {
  const of = (sandbox: string): EventBody => ({ ...allowedBody(), sandbox });
  const tally = tallyOf(['a', 'b', 'a', 'c', 'a', 'd'].map(of), 2);
  const counts = tally.values('sallyport_requests_total').map(({ labels, value }) => [labels.sandbox, value]);
  expect(new Map(counts as [string, number][])).toEqual(
    new Map([
      ['a', 3],
      ['other', 2],
      ['d', 1],
    ]),
  );
});

test('a sandbox that is itself named other loses no count when it gives its label up', () => {
  const of = (sandbox: string): EventBody => ({ ...allowedBody(), sandbox });
  const tally = tallyOf(['other', 'a', 'b', 'c', 'other', 'a'].map(of), 2);
  const values = tally.values('sallyport_requests_total');
  expect(values.reduce((sum, { value }) => sum + value, 0)).toBe(6);
  expect(values.map(({ labels }) => labels.sandbox).sort()).toEqual(['a', 'other']);
});

test('how long requests took is told by sandbox, within the same bound, and none is forgotten', () => {
  const timings = { dns_ms: null, connect_ms: null, tls_ms: null, first_byte_ms: 40, total_ms: 50 };
  const of = (sandbox: string): EventBody => ({ ...allowedBody({ timings }), sandbox });
  const tally = tallyOf(['a', 'b', 'other', 'c', 'other', 'd', 'e', 'a'].map(of), 2);
  const counts = [...tally.times()].flatMap(([sandbox, series]) => {
    const samples = series.samples('t', {}).filter(({ metricName }) => metricName === 't_count');
    return samples.map(({ value }) => [sandbox, value] as const);
  });
  expect(new Map(counts)).toEqual(
    new Map([
      ['other', 6],
      ['e', 1],
      ['a', 1],
    ]),
  );
  expect(counts).toHaveLength(3);
});

test('only a refusal or a failure uses up one of the reasons', () => {
  const answered = (reason: string): EventBody => {
    return { type: 'dns.answered', sandbox: 'sb1', network: networkOf({ layer: 'dns', reason }) };
  };
  const bodies = Array.from({ length: 200 }, (_, i) => answered(`answer-${i}`));
  const values = tallyOf([...bodies, refusedBody()]).values('sallyport_refusals_total');
  expect(values.map(({ labels }) => labels.reason)).toEqual(['no-rule']);
});

test('reasons that a stranger has a hand in are bounded', () => {
  const tally = tallyOf(Array.from({ length: 1_000 }, (_, i) => refusedBody({ reason: `fault-${i}` })));
  const values = tally.values('sallyport_refusals_total');
  expect(values.length).toBeLessThanOrEqual(129);
  expect(values.reduce((sum, { value }) => sum + value, 0)).toBe(1_000);
});

let folder: string;
let server: MetricsServer | null = null;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-metrics-'));
});

afterEach(async () => {
  await server?.close();
  server = null;
  await rm(folder, { recursive: true });
});

async function open(differs: Partial<MetricsServerOptions> = {}): Promise<MetricsServer> {
  const listen = { kind: 'unix', path: join(folder, 'm.sock') } as const;
  server = await openMetrics({ listen, token: null, sandboxes: 10, version: '1.2.3', ...differs });
  return server;
}

interface Answer {
  readonly status: number | undefined;
  readonly text: string;
}

function scrape(options: http.RequestOptions = {}): Promise<Answer> {
  const port = server?.listensOn[0]?.port;
  const where = port === undefined ? { socketPath: join(folder, 'm.sock') } : { host: '127.0.0.1', port };
  return new Promise((resolve, reject) => {
    const request = http.request({ ...where, path: '/metrics', agent: false, ...options }, response => {
      let text = '';
      response.setEncoding('utf8').on('data', chunk => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode, text }));
    });
    request.on('error', reject).end();
  });
}

test('a scrape has counters, phases, script times, certificates and the sinks as they stand', async () => {
  const metrics = await open();
  const timings = { dns_ms: 2, connect_ms: 3, tls_ms: null, first_byte_ms: 40, total_ms: 50 };
  metrics.write([numbered(allowedBody({ timings }), 1), numbered(refusedBody(), 2)]);
  metrics.scriptCall('onRequest', 0.2);
  const delivery = { delivered: 90, attempts: 12, faults: 3, deadLettered: 5 };
  const state = { name: 'siem', queued: 7, dropped: 2, failures: 1, blocked: true, delivery };
  metrics.watch({ sinks: [state, { ...state, name: 'log', delivery: null }], minted: 4 });
  const { status, text } = await scrape();
  expect(status).toBe(200);
  for (const line of [
    'sallyport_info{version="1.2.3"} 1',
    'sallyport_events_total{type="request.done"} 1',
    'sallyport_requests_total{sandbox="sb1",outcome="done",status="2xx"} 1',
    'sallyport_refusals_total{sandbox="sb1",layer="http",reason="no-rule"} 1',
    'sallyport_request_phase_seconds_bucket{le="0.0025",phase="dns"} 1',
    'sallyport_request_phase_seconds_count{phase="total"} 1',
    'sallyport_request_seconds_bucket{le="0.05",sandbox="sb1"} 1',
    'sallyport_script_call_seconds_bucket{le="0.00025",hook="onRequest"} 1',
    'sallyport_certificates_minted_total 4',
    'sallyport_sink_queued_events{sink="siem"} 7',
    'sallyport_sink_dropped_events_total{sink="siem"} 2',
    'sallyport_sink_blocked{sink="siem"} 1',
    'sallyport_sink_delivered_events_total{sink="siem"} 90',
    'sallyport_sink_attempts_total{sink="siem"} 12',
    'sallyport_sink_faults_total{sink="siem"} 3',
    'sallyport_sink_dead_letter_events_total{sink="siem"} 5',
    'sallyport_sink_failures_total{sink="log"} 1',
  ]) {
    expect(text.split('\n')).toContain(line);
  }
  expect(text).not.toContain('sallyport_sink_attempts_total{sink="log"}');
  expect(text).not.toContain('phase="tls"');
  // Asked again, the counters have not doubled.
  expect((await scrape()).text).toContain('sallyport_events_total{type="request.done"} 1\n');
});

test('no label holds a host, a URL or a secret’s name', async () => {
  const metrics = await open();
  metrics.write([
    numbered(allowedBody({ host: 'hidden.test', url: 'https://hidden.test/p', secrets: ['TOKEN'] }), 1),
  ]);
  const { text } = await scrape();
  expect(text).toContain('sallyport_requests_total{');
  expect(text).not.toMatch(/hidden|TOKEN/);
});

const port = { listen: { kind: 'tcp', address: '127.0.0.1', port: 0 } } as const;

test.each([
  ['a Host that was made to lead here', { headers: { host: 'evil.test' } }, 403],
  ['a browser', { headers: { origin: 'https://evil.test' } }, 403],
  ['POST', { method: 'POST' }, 405],
  ['another path', { path: '/' }, 404],
  ['no token where one is needed', {}, 401],
])('%s is refused', async (name, options, status) => {
  await open({ ...port, token: name.startsWith('no token') ? 'secret' : null });
  expect((await scrape(options)).status).toBe(status);
});

test('a collector with the token is answered', async () => {
  await open({ ...port, token: 'secret' });
  expect((await scrape({ headers: { authorization: 'Bearer secret' } })).status).toBe(200);
});

const names = new Metrics({ sandboxes: 1, version: '' }).names;
const SUFFIX = /_(bucket|count|sum)$/;

function metricsIn(text: string): string[] {
  const found = [...text.matchAll(/\b((?:sallyport|process|nodejs)_[a-z0-9_]+)\b/g)].map(
    ([, name = '']) => name,
  );
  return [...new Set(found.map(name => (names.includes(name) ? name : name.replace(SUFFIX, ''))))];
}

test('the dashboard names only metrics that exist, and every one of ours', () => {
  const dashboard = JSON.parse(readFileSync('docs/grafana/sallyport.json', 'utf8'));
  const expressions = dashboard.panels.flatMap((panel: { targets?: { expr: string }[] }) =>
    (panel.targets ?? []).map(({ expr }) => expr),
  );
  expect(expressions.length).toBeGreaterThan(20);
  const named = metricsIn(JSON.stringify(dashboard.templating) + expressions.join('\n'));
  expect(named.filter(name => !names.includes(name))).toEqual([]);
  expect(names.filter(name => name.startsWith('sallyport_') && !named.includes(name))).toEqual([]);
});

test('every label that the dashboard selects or groups by is one of its metric', () => {
  const { panels } = JSON.parse(readFileSync('docs/grafana/sallyport.json', 'utf8'));
  const own = new Map(
    Object.entries(COUNTERS).map(([name, { labels }]) => [name, labels as readonly string[]]),
  );
  for (const { targets = [] } of panels as { targets?: { expr: string }[] }[]) {
    for (const { expr } of targets) {
      const labels = own.get(metricsIn(expr)[0] ?? '');
      if (labels === undefined) continue;
      const by = /by \(([^)]*)\)/.exec(expr)?.[1]?.split(', ') ?? [];
      const selected = [...expr.matchAll(/([a-z]+)=~?"/g)].map(([, label = '']) => label);
      const used = [...by, ...selected].filter(label => label !== 'instance' && label !== 'le');
      expect([expr, used.filter(label => !labels.includes(label))]).toEqual([expr, []]);
    }
  }
});

test('docs/reference/metrics.md has a row for each metric of ours, with its help, and its example is valid', () => {
  const text = readFileSync('docs/reference/metrics.md', 'utf8');
  const rows = [...text.matchAll(/^\| `(sallyport_[a-z_]+)` \|/gm)].map(([, name = '']) => name);
  expect([...rows].sort()).toEqual(names.filter(name => name.startsWith('sallyport_')).sort());
  for (const { help } of Object.values(COUNTERS)) expect(text).toContain(`| ${help} |`);
  const yaml = /```yaml\n(.*?)```/s.exec(text)?.[1] ?? '';
  expect(parseSinks(yaml)).toMatchObject({ ok: true, value: { metrics: { sandboxes: 100 } } });
});

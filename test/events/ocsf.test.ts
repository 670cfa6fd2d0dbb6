import { z } from 'zod';
import type { EventBody } from '../../src/events/event.js';
import { encodeOcsf, type OcsfRecord } from '../../src/events/ocsf.js';
import { allowedBody, networkOf, numbered, refusedBody } from '../support/events.js';

const SOURCE = { id: 'gw1-7', version: '1.2.3' };

function recordOf(body: EventBody): OcsfRecord {
  return JSON.parse(encodeOcsf(numbered(body, 7), SOURCE)) as OcsfRecord;
}

/**
 * What OCSF 1.3.0 requires of the classes that are used, and the names that it knows in them: anything else would be
 * refused by a strict reader. `unmapped` is its own place for the rest.
 */
const endpoint = z.strictObject({
  hostname: z.string().optional(),
  ip: z.string().optional(),
  port: z.int().min(1).max(65_535).optional(),
  uid: z.string().optional(),
  type_id: z.int().optional(),
});
const url = z.strictObject({
  url_string: z.string(),
  scheme: z.string().optional(),
  hostname: z.string().optional(),
  port: z.int().optional(),
  path: z.string().optional(),
  query_string: z.string().optional(),
});
const base = {
  activity_id: z.int(),
  activity_name: z.string().optional(),
  category_name: z.string(),
  class_name: z.string(),
  time: z.number(),
  severity_id: z.union([0, 1, 2, 3, 4, 5, 6, 99].map(id => z.literal(id))),
  status_id: z.union([z.literal(1), z.literal(2)]),
  message: z.string(),
  metadata: z.strictObject({
    version: z.literal('1.3.0'),
    uid: z.string(),
    sequence: z.int(),
    event_code: z.string(),
    product: z.strictObject({ name: z.string(), vendor_name: z.string(), version: z.string() }),
    profiles: z.array(z.string()).optional(),
    correlation_uid: z.string().optional(),
  }),
  unmapped: z.record(z.string(), z.unknown()).optional(),
};
const network = {
  ...base,
  category_uid: z.literal(4),
  start_time: z.int(),
  end_time: z.int(),
  duration: z.int().min(0),
  src_endpoint: endpoint,
  dst_endpoint: endpoint,
  action_id: z.union([z.literal(1), z.literal(2)]),
  disposition_id: z.union([z.literal(1), z.literal(2)]),
  policy: z.strictObject({ name: z.string(), version: z.string() }),
  firewall_rule: z.strictObject({ name: z.string() }).optional(),
};
const connection = z.strictObject({
  direction_id: z.literal(2),
  protocol_num: z.int(),
  protocol_name: z.enum(['tcp', 'udp']),
  uid: z.string().optional(),
});
const traffic = z.strictObject({ bytes: z.int(), bytes_in: z.int(), bytes_out: z.int() });
const classes = z.discriminatedUnion('class_uid', [
  z.strictObject({
    ...network,
    class_uid: z.literal(4001),
    type_uid: z.int().min(400_100).max(400_106),
    connection_info: connection,
    traffic,
  }),
  z.strictObject({
    ...network,
    class_uid: z.literal(4002),
    type_uid: z.int().min(400_200).max(400_299),
    http_request: z.strictObject({
      http_method: z.string().optional(),
      url: url.optional(),
      version: z.string().optional(),
      uid: z.string().optional(),
      length: z.int(),
    }),
    http_response: z.strictObject({ code: z.int(), length: z.int(), latency: z.int() }).optional(),
    connection_info: connection,
    traffic,
  }),
  z.strictObject({
    ...network,
    class_uid: z.literal(4003),
    type_uid: z.literal(400_306),
    query: z.strictObject({ hostname: z.string(), type: z.string(), class: z.string() }),
    rcode_id: z.int().optional(),
  }),
  z.strictObject({
    ...base,
    class_uid: z.literal(1001),
    category_uid: z.literal(1),
    type_uid: z.int().min(100_101).max(100_104),
    actor: z.strictObject({ app_name: z.string() }),
    device: z.strictObject({ uid: z.string(), type_id: z.int() }),
    file: z.strictObject({ name: z.string(), path: z.string(), type_id: z.int(), size: z.int().optional() }),
  }),
  z.strictObject({
    ...base,
    class_uid: z.literal(1007),
    category_uid: z.literal(1),
    type_uid: z.int().min(100_701).max(100_702),
    actor: z.strictObject({ app_name: z.string() }),
    device: z.strictObject({ uid: z.string(), type_id: z.int() }),
    process: z.strictObject({ name: z.string(), cmd_line: z.string() }),
    duration: z.int().optional(),
    exit_code: z.int().optional(),
  }),
  z.strictObject({
    ...base,
    class_uid: z.literal(6002),
    category_uid: z.literal(6),
    type_uid: z.int().min(600_203).max(600_299),
    app: z.strictObject({ name: z.string(), vendor_name: z.string() }),
  }),
]);

const dns = (differs: object) =>
  networkOf({ layer: 'dns', method: 'A', url: '', status_code: 0, ...differs });
const flow = (differs: object) =>
  networkOf({ layer: 'tcp', method: '', url: '', status_code: 0, ...differs });
const fact = { message: 'said', detail: ['more'] };

const bodies: Readonly<Record<string, EventBody>> = {
  request: allowedBody(),
  'request refused': refusedBody(),
  'request failed': {
    type: 'request.failed',
    sandbox: 'sb1',
    network: networkOf({ reason: 'UPSTREAM_TIMEOUT' }),
  },
  'request that broke off before its method': allowedBody({ method: '', url: '', status_code: 0, host: '' }),
  'WebDAV request over h2': allowedBody({ method: 'PROPFIND', protocol: 'h2' }),
  WebSocket: allowedBody({ layer: 'websocket' }),
  look_up: { type: 'dns.answered', sandbox: 'sb1', network: dns({}) },
  'look-up refused': {
    type: 'dns.refused',
    sandbox: 'sb1',
    network: dns({ blocked: true, decision: 'deny' }),
  },
  'look-up without an address': { type: 'dns.answered', sandbox: 'sb1', network: dns({ reason: 'no-data' }) },
  'flow opened': { type: 'flow.opened', sandbox: 'sb1', network: flow({}) },
  'flow closed': { type: 'flow.closed', sandbox: 'sb1', network: flow({}) },
  'flow refused': {
    type: 'flow.refused',
    sandbox: 'sb1',
    network: flow({ blocked: true, decision: 'deny' }),
  },
  'packet refused': { type: 'flow.refused', sandbox: 'sb1', network: flow({ layer: 'udp', port: 0 }) },
  'TLS refused': { type: 'tls.refused', sandbox: 'sb1', network: flow({ layer: 'tls', blocked: true }) },
  leak: { type: 'secret.leak', sandbox: 'sb1', network: networkOf({ decision: 'deny', secrets: ['TOKEN'] }) },
  started: {
    type: 'exec.started',
    sandbox: 'sb1',
    exec: { command: ['sh', '-c', 'x'], exit_code: null, duration_ms: 0 },
  },
  done: { type: 'exec.done', sandbox: 'sb1', exec: { command: ['sh'], exit_code: 2, duration_ms: 10.4 } },
  killed: { type: 'exec.done', sandbox: 'sb1', exec: { command: [], exit_code: null, duration_ms: 10 } },
  'file written': {
    type: 'file.changed',
    sandbox: 'sb1',
    file: { op: 'write', path: '/workspace/a', size: 7, mode: 0o644 },
  },
  'file removed': {
    type: 'file.removed',
    sandbox: 'sb1',
    file: { op: 'remove', path: 'a', size: null, mode: null },
  },
  'TLS done': { type: 'tls.done', sandbox: 'sb1', network: flow({ layer: 'tls' }) },
  'gateway started': { type: 'gateway.started', sandbox: null, gateway: fact },
  'gateway closed': { type: 'gateway.closed', sandbox: null, gateway: fact },
  'policy refused': { type: 'policy.refused', sandbox: null, gateway: fact },
  'nothing but a type': { type: 'gateway.dropped', sandbox: null },
};

for (const [name, body] of Object.entries(bodies)) {
  test(`${name}: has what OCSF 1.3.0 requires of its class, and nothing that it does not know`, () => {
    const record = recordOf(body);
    expect(classes.safeParse(record).error?.issues ?? []).toEqual([]);
    expect(record.type_uid).toBe(record.class_uid * 100 + record.activity_id);
  });
}

const content = z.strictObject({
  ...base,
  category_uid: z.literal(4),
  class_uid: z.literal(4002),
  type_uid: z.literal(400_299),
  src_endpoint: endpoint,
  dst_endpoint: endpoint,
  http_request: z.strictObject({ uid: z.string(), length: z.int().optional() }),
  http_response: z.strictObject({ content_type: z.string().optional(), length: z.int() }).optional(),
  connection_info: connection,
});

const captured = {
  flow: 'f1',
  request: 'r1',
  side: 'response',
  mime_type: 'text/plain',
  size: 5,
  encoding: 'text',
  text: 'hello',
  truncated: false,
} as const;

test('a content is one more activity of its request, and its text is not lost', () => {
  const record = recordOf({ type: 'body.captured', sandbox: 'sb1', body: captured });
  expect(content.safeParse(record).error?.issues ?? []).toEqual([]);
  expect(record).toMatchObject({
    activity_name: 'body.captured',
    metadata: { correlation_uid: 'r1', event_code: 'body.captured' },
    http_request: { uid: 'r1' },
    http_response: { content_type: 'text/plain', length: 5 },
    unmapped: {
      side: 'response',
      mime_type: 'text/plain',
      encoding: 'text',
      text: 'hello',
      truncated: false,
    },
  });
});

test('the content of a request has no answer yet, and a type only where one was sent', () => {
  const body = { ...captured, side: 'request', mime_type: '' } as const;
  const record = recordOf({ type: 'body.captured', sandbox: 'sb1', body });
  expect(content.safeParse(record).error?.issues ?? []).toEqual([]);
  expect(record).toMatchObject({ http_request: { uid: 'r1', length: 5 }, src_endpoint: { uid: 'sb1' } });
  expect(record).not.toHaveProperty('http_response');
  expect(record.unmapped).not.toHaveProperty('mime_type');
});

test('a request says who asked whom for what, what was answered and what decided', () => {
  expect(
    recordOf(allowedBody({ url: 'https://allowed.test:8443/a/b?q=1', secrets: ['TOKEN'] })),
  ).toMatchObject({
    class_uid: 4002,
    activity_id: 3,
    time: 1_700_000_000_007,
    severity_id: 1,
    status_id: 1,
    action_id: 1,
    disposition_id: 1,
    metadata: { uid: 'gw1-7', sequence: 7, correlation_uid: 'r1', product: { version: '1.2.3' } },
    src_endpoint: { uid: 'sb1' },
    dst_endpoint: { hostname: 'allowed.test', ip: '93.184.216.34', port: 443 },
    http_request: {
      http_method: 'GET',
      version: '1.1',
      uid: 'r1',
      length: 120,
      url: { scheme: 'https', hostname: 'allowed.test', port: 8443, path: '/a/b', query_string: 'q=1' },
    },
    http_response: { code: 200, length: 2_048 },
    traffic: { bytes: 2_168, bytes_in: 2_048, bytes_out: 120 },
    firewall_rule: { name: 'allow_domain[0]' },
    policy: { version: '1' },
    unmapped: { secrets: ['TOKEN'] },
  });
});

test('a refusal is denied, blocked, a failure, and says why', () => {
  expect(recordOf(refusedBody())).toMatchObject({
    severity_id: 2,
    status_id: 2,
    action_id: 2,
    disposition_id: 2,
    http_response: { code: 403 },
    message: expect.stringContaining('no rule allows this host'),
    unmapped: { reason: 'no-rule' },
  });
});

test('a leak is severe', () => {
  const network = networkOf({ decision: 'deny', secrets: ['TOKEN'] });
  expect(recordOf({ type: 'secret.leak', sandbox: 'sb1', network })).toMatchObject({
    severity_id: 4,
    action_id: 2,
  });
});

test('an address of IPv6 as dialled loses its brackets', () => {
  expect(recordOf(allowedBody({ destination: '[2001:db8::1]:443' }))).toMatchObject({
    dst_endpoint: { ip: '2001:db8::1' },
  });
});

test('what strangers wrote stays one bounded line of printable ASCII that reads back', () => {
  const url = `https://allowed.test/\r\n{"type":"allow"}\u202e\u2028${'x'.repeat(100_000)}`;
  const line = encodeOcsf(numbered(allowedBody({ url, method: 'A\u0000"B', host: '\ud800' }), 7), SOURCE);
  expect(line).toMatch(/^[\x20-\x7e]*\n$/);
  expect(line.length).toBeLessThan(64 * 1024);
  expect(JSON.parse(line)).toMatchObject({ http_request: { http_method: 'A\u0000"B' }, activity_id: 99 });
});

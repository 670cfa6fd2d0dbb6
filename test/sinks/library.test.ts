import { mkdtemp, readFile, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createGateway, eventFilter, openEventSinks } from '../../src/api/index.js';
import { documentFrom } from '../../src/policy/document.js';
import { Ca } from '../../src/proxy/tls/ca.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-library-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

function scrape(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = http.get({ socketPath, path: '/metrics', agent: false }, response => {
      let text = '';
      response.setEncoding('utf8').on('data', chunk => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
    });
    request.on('error', reject);
  });
}

test('a program gives the sinks of an object to a gateway, and a filter to its stream', async () => {
  const path = join(folder, 'e.jsonl');
  const socket = join(folder, 'm.sock');
  const { sinks, metrics } = await openEventSinks({
    sinks: [{ type: 'file', path, filter: 'event.type != "policy.loaded"' }],
    metrics: { listen: `unix:${socket}` },
  });
  const policy = documentFrom({}, 'test');
  if (!policy.ok) throw new Error('no policy');
  const gateway = await createGateway({
    layers: [policy.value],
    ca: Ca.ephemeral(),
    sinks,
    ...(metrics && { meter: metrics }),
    env: {},
  });
  metrics?.watch({ sinks: gateway.bus.sinks, minted: 0 });
  const filter = await eventFilter('event.type == "gateway.closed"');
  const reading = (async () => {
    const types: string[] = [];
    for await (const { type } of gateway.events({ filter })) types.push(type);
    return types;
  })();
  expect(await scrape(socket)).toContain('sallyport_events_total{type="policy.loaded"} 1');
  await gateway.close();
  expect(await reading).toEqual(['gateway.closed']);
  const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
  expect(lines.map(line => JSON.parse(line).type)).toEqual(['gateway.started', 'gateway.closed']);
});

test('openEventSinks opens nothing of what is wrong, and lists every problem', async () => {
  const wrong = { sinks: [{ type: 'file' }, { type: 'webhook', url: 'http://a.test/' }], metrics: {} };
  await expect(openEventSinks(wrong)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringMatching(/sinks\[0\]\.path.*\n.*sinks\[1\]\.url.*\n.*metrics\.listen/s),
  });
  await expect(openEventSinks(join(folder, 'none.yaml'))).rejects.toThrow(/none\.yaml: does not exist/);
  const taken = join(folder, 'm.sock');
  const first = await openEventSinks({ metrics: { listen: `unix:${taken}` } });
  const second = openEventSinks({ sinks: [{ type: 'server', listen: `unix:${taken}` }] });
  await expect(second).rejects.toThrow(/in use by another process/);
  await Promise.all(first.sinks.map(sink => sink.close?.()));
});

test('a filter that is wrong says where', async () => {
  await expect(eventFilter('network.hots == "x"')).rejects.toThrow('filter: column 9: No such key: hots');
});

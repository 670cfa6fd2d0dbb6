import { setTimeout as delay } from 'node:timers/promises';
import { createGateway } from '../../src/gateway.js';
import { Ca } from '../../src/proxy/tls/ca.js';
import { trustRoots } from '../../src/proxy/upstream/trust.js';
import { openBench } from '../support/bench.js';

async function until(holds: () => boolean): Promise<void> {
  for (let waited = 0; waited < 10_000 && !holds(); waited += 20) await delay(20);
}

const POLICY = { allow_domain: ['allowed.test'] };

test('a request that was cut short on its way up says where it was going', async () => {
  await using bench = await openBench({ policy: POLICY });
  const socket = await bench.connect({ host: 'allowed.test', port: 80 });
  socket.resume().write('POST /p HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 10\r\n\r\nabc');
  await until(() => bench.plain.requests.length === 1);
  socket.end();
  await until(() => bench.events.some(({ type }) => type === 'request.failed'));
  const failed = bench.events.find(({ type }) => type === 'request.failed');
  expect(bench.plain.requests.map(({ target }) => target)).toEqual(['/p']);
  expect(failed?.network?.destination).toBe('93.184.215.14:80');
});

test.each([
  [{ NODE_TLS_REJECT_UNAUTHORIZED: '0' }, /NODE_TLS_REJECT_UNAUTHORIZED=0 turns off certificate checks/],
  [{ NODE_OPTIONS: '--inspect=0.0.0.0:9229' }, /opens the memory/],
  [{ NODE_OPTIONS: '--max-old-space-size=100 --heapsnapshot-signal=SIGUSR2' }, /opens the memory/],
])('with %j in its environment the gateway does not start', async (env, message) => {
  const started = createGateway({ layers: [], ca: Ca.ephemeral(), trust: trustRoots([]), env });
  await expect(started).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringMatching(message),
  });
});

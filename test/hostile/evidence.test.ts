import { getMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { systemClock } from '../../src/core/clock.js';
import { Tenant } from '../../src/gateway/tenant.js';
import { createLimits } from '../../src/proxy/limits/limits.js';
import { NO_SECRETS } from '../../src/secrets/store.js';
import { openBench } from '../support/bench.js';
import { policyOf } from '../support/policy.js';
import { raw } from '../support/upstream.js';

const POLICY = { allow_domain: ['allowed.test'] };

test('a request that was cut short on its way up says where it was going', async () => {
  await using bench = await openBench({ policy: POLICY });
  const socket = await bench.connect({ host: 'allowed.test', port: 80 });
  const bytes = 'POST /p HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 10\r\n\r\nabc';
  await raw(socket, Buffer.from(bytes), { halfCloseAfterMs: 100 });
  for (let i = 0; i < 100 && !bench.events.some(({ type }) => type === 'request.failed'); i++)
    await delay(20);
  const failed = bench.events.find(({ type }) => type === 'request.failed');
  expect(bench.plain.requests.map(({ target }) => target)).toEqual(['/p']);
  expect(failed?.network?.destination).toBe('93.184.215.14:80');
});

test('a sandbox may have more flows than Node takes for a leak of listeners', () => {
  const { closing } = new Tenant('a', NO_SECRETS, createLimits(policyOf('{}').limits, systemClock));
  expect(getMaxListeners(closing.signal)).toBe(Number.POSITIVE_INFINITY);
});

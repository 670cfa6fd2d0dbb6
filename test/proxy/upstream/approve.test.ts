import { endpointText } from '../../../src/core/address.js';
import { GatewayError } from '../../../src/core/errors.js';
import type { Resolver } from '../../../src/dns/resolver.js';
import { approve, type Destination } from '../../../src/proxy/upstream/approve.js';
import { ALLOW, authorityOf, DENY, ip, NEVER, resolverOf } from './support.js';

function destination(
  host: string,
  over: Partial<Destination> = {},
): Destination & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    host: authorityOf(host).host,
    port: 443,
    pin: null,
    decideDial: (_host, endpoint) => {
      asked.push(endpointText(endpoint));
      return endpoint.address.text.startsWith('10.') ? DENY : ALLOW;
    },
    ...over,
  };
}

const RESOLVER = resolverOf({
  'public.test': ['203.0.113.1', '2001:db8::1', '203.0.113.1'],
  'mixed.test': ['203.0.113.1', '10.0.0.1', '203.0.113.2'],
  'private.test': ['10.0.0.1'],
});

test('approve asks about every address of a name, and about each once', async () => {
  const to = destination('public.test');
  const endpoints = await approve(to, RESOLVER, NEVER);
  expect(endpoints.map(endpointText)).toEqual(['203.0.113.1:443', '[2001:db8::1]:443']);
  expect(to.asked).toEqual(['203.0.113.1:443', '[2001:db8::1]:443']);
});

for (const host of ['mixed.test', 'private.test']) {
  test(`approve denies ${host} for one address that may not be dialled, with the verdict as the cause`, async () => {
    await expect(approve(destination(host), RESOLVER, NEVER)).rejects.toMatchObject({
      code: 'DIAL_REFUSED',
      cause: DENY,
    });
  });
}

test('approve fails for a name without an address', async () => {
  const missing = approve(destination('missing.test'), RESOLVER, NEVER);
  await expect(missing).rejects.toMatchObject({ code: 'RESOLVE_FAILED' });
});

test('approve asks about a literal without looking it up', async () => {
  const resolver = resolverOf({});
  const to = destination('[2001:db8::7]');
  expect((await approve(to, resolver, NEVER)).map(endpointText)).toEqual(['[2001:db8::7]:443']);
  await expect(approve(destination('10.1.2.3'), resolver, NEVER)).rejects.toMatchObject({
    code: 'DIAL_REFUSED',
  });
  expect(resolver.asked).toEqual([]);
});

test('approve dials a pin in place of a look-up, at its own port when it has one, and asks about it', async () => {
  const resolver = resolverOf({});
  const pin = { address: ip('127.0.0.1'), port: 8443 };
  const to = destination('public.test', { pin });
  expect((await approve(to, resolver, NEVER)).map(endpointText)).toEqual(['127.0.0.1:8443']);
  expect(to.asked).toEqual(['127.0.0.1:8443']);
  const bare = destination('public.test', { pin: { ...pin, port: null } });
  expect((await approve(bare, resolver, NEVER)).map(endpointText)).toEqual(['127.0.0.1:443']);
  expect(resolver.asked).toEqual([]);
});

const failures: [name: string, error: unknown, code: string][] = [
  ['keeps the resolver’s own error', new GatewayError('RESOLVE_FAILED', 'SERVFAIL'), 'RESOLVE_FAILED'],
  ['turns any other error into RESOLVE_FAILED', new Error('broken'), 'RESOLVE_FAILED'],
];

for (const [name, error, code] of failures) {
  test(`approve ${name}`, async () => {
    const resolver: Resolver = { resolve: () => Promise.reject(error) };
    await expect(approve(destination('public.test'), resolver, NEVER)).rejects.toMatchObject({ code });
  });
}

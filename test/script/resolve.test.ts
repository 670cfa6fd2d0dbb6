/** onResolve, asked by a whole resolver. */
import { decode, encode } from 'dns-packet';
import type { Event } from '../../src/events/event.js';
import { openScriptBench } from '../support/script-bench.js';

test('a name that the rules allow may be refused by the script, and only such a name is asked about', async () => {
  const asked = `export function onResolve({ name, type }) {
    log(name, type);
    return name.startsWith('data-') ? { deny: 'data in a name' } : { allow: true };
  }`;
  await using bench = await openScriptBench(asked, { policy: { allow_domain: ['*.allowed.test'] } });
  const { dns } = bench.gateway.admit('resolves');
  const ask = async (name: string, type: 'A' | 'TXT' = 'A') => {
    const query = encode({ type: 'query', id: 7, questions: [{ name, type }] });
    const answer = await dns.answer(query, 'udp', new AbortController().signal);
    const reply: object = decode(Buffer.from(answer ?? []));
    const { rcode, answers } = reply as { rcode: string; answers: readonly unknown[] };
    return [rcode, answers.length];
  };
  expect(await ask('api.allowed.test')).toEqual(['NOERROR', 1]);
  expect(await ask('data-c2VjcmV0.allowed.test')).toEqual(['NXDOMAIN', 0]);
  expect(await ask('data-x.allowed.test', 'TXT')).toEqual(['NXDOMAIN', 0]);
  expect(await ask('evil.test')).toEqual(['NXDOMAIN', 0]);
  const seen = (type: Event['type']) => bench.events.filter(event => event.type === type);
  for (let i = 0; i < 100 && seen('dns.refused').length < 3; i++)
    await new Promise(resolve => setTimeout(resolve, 20));
  expect(seen('dns.refused').map(({ network }) => [network?.host, network?.reason, network?.rule])).toEqual([
    ['data-c2vjcmv0.allowed.test', 'script', 'policy_script'],
    ['data-x.allowed.test', 'script', 'policy_script'],
    ['evil.test', 'no-rule', null],
  ]);
  expect(seen('script.log').map(({ gateway }) => gateway?.message)).toEqual([
    'api.allowed.test A',
    'data-c2vjcmv0.allowed.test A',
    'data-x.allowed.test TXT',
  ]);
});

import { inspect } from 'node:util';
import { parsePolicy } from '../../src/policy/document.js';
import { parseNoProxy, parseProxyUrl, proxyRoutes } from '../../src/policy/proxy-routes.js';
import { authorityOf } from '../proxy/upstream/support.js';

const urls: [text: string, want: string, authorization: string | null][] = [
  ['http://proxy.test', 'proxy.test:80', null],
  ['http://proxy.test:3128/', 'proxy.test:3128', null],
  ['http://10.0.0.1:3128', '10.0.0.1:3128', null],
  ['http://[2001:db8::1]:3128', '[2001:db8::1]:3128', null],
  ['http://user:pass@proxy.test:3128', 'proxy.test:3128', 'Basic dXNlcjpwYXNz'],
  ['http://user@proxy.test:3128', 'proxy.test:3128', 'Basic dXNlcjo='],
  ['http://us%40er:p%3Aa%2Fss@proxy.test:3128', 'proxy.test:3128', 'Basic dXNAZXI6cDphL3Nz'],
];

for (const [text, want, authorization] of urls) {
  test(`parseProxyUrl reads ${text}`, () => {
    const proxy = parseProxyUrl(text);
    if (!proxy.ok) throw new Error(proxy.error);
    expect(proxy.value.text).toBe(want);
    const head = proxy.value.connectHead('api.test:443');
    expect(head).toMatch(/^CONNECT api\.test:443 HTTP\/1\.1\r\nHost: api\.test:443\r\n/);
    expect(/Proxy-Authorization: (.*)\r\n/.exec(head)?.[1] ?? null).toBe(authorization);
  });
}

const bad: [text: string, fault: string][] = [
  ['', 'bad-scheme'],
  ['proxy.test:3128', 'bad-scheme'],
  ['https://proxy.test', 'bad-scheme'],
  ['socks5://proxy.test', 'bad-scheme'],
  ['http://', 'bad-host'],
  ['http://proxy.test/path', 'bad-host'],
  ['http://proxy.test:0', 'bad-host'],
  ['http://proxy.test:70000', 'bad-host'],
  ['http://pro xy.test', 'bad-host'],
  ['http://0x7f.1', 'bad-host'],
  ['http://a@b@proxy.test', 'bad-host'],
  ['http://user:p%0Dss@proxy.test', 'bad-credentials'],
  ['http://us%3Aer:pass@proxy.test', 'bad-credentials'],
  ['http://user:p%zz@proxy.test', 'bad-credentials'],
];

for (const [text, error] of bad) {
  test(`parseProxyUrl refuses ${JSON.stringify(text)} as ${error}`, () => {
    expect(parseProxyUrl(text)).toEqual({ ok: false, error });
  });
}

test('a proxy’s credentials cannot be printed', () => {
  const proxy = parseProxyUrl('http://user:hush@proxy.test');
  if (!proxy.ok) throw new Error(proxy.error);
  const base64 = Buffer.from('user:hush').toString('base64');
  for (const text of [
    String(proxy.value),
    JSON.stringify(proxy.value),
    inspect(proxy.value, { showHidden: true, depth: 9 }),
  ]) {
    expect(text).not.toContain('hush');
    expect(text).not.toContain(base64);
  }
});

const hosts: [entry: string, matches: string[], others: string[]][] = [
  ['*', ['a.test', '10.0.0.1'], []],
  ['corp.test', ['corp.test', 'a.b.corp.test'], ['xcorp.test', 'corp.test.evil.test', '10.0.0.1']],
  ['.corp.test', ['corp.test', 'a.corp.test'], ['xcorp.test']],
  ['*.corp.test', ['corp.test', 'a.corp.test'], ['xcorp.test']],
  ['CORP.test', ['corp.test'], []],
  ['10.0.0.1', ['10.0.0.1'], ['10.0.0.2', 'a.test']],
  ['10.0.0.0/8', ['10.1.2.3'], ['11.0.0.1']],
  ['2001:db8::/32', ['[2001:db8::1]'], ['[2001:db9::1]', '10.0.0.1']],
  ['[2001:db8::1]', ['[2001:db8::1]'], ['[2001:db8::2]']],
];

for (const [entry, matches, others] of hosts) {
  test(`no_proxy ${entry} stands for what it should, and for nothing else`, () => {
    const bypass = parseNoProxy(['unrelated.test', entry]);
    if (!bypass.ok) throw new Error(bypass.error);
    for (const host of matches) expect([host, bypass.value(authorityOf(host).host)]).toEqual([host, true]);
    for (const host of others) expect([host, bypass.value(authorityOf(host).host)]).toEqual([host, false]);
  });
}

for (const entry of ['', 'a b', '*.', 'http://a.test', 'a.test:80', '10.0.0.1/8', '1.2.3', '*corp.test']) {
  test(`no_proxy refuses ${JSON.stringify(entry)} and names it`, () => {
    expect(parseNoProxy(['a.test', entry])).toEqual({ ok: false, error: entry });
  });
}

const NONE = { httpProxy: null, httpsProxy: null, noProxy: [], enforce: false };

test('enforce lets one proxy serve both schemes and nothing go around it', () => {
  const routes = proxyRoutes({ ...NONE, httpsProxy: 'http://proxy.test:3128', enforce: true });
  if (!routes.ok) throw new Error(routes.error);
  expect(routes.value.http?.text).toBe('proxy.test:3128');
  expect(routes.value.bypass(authorityOf('any.test').host)).toBe(false);
});

test.each([
  [
    'enforce with no_proxy',
    { ...NONE, httpProxy: 'http://p.test', noProxy: ['a.test'], enforce: true },
    /contradict/,
  ],
  ['enforce without a proxy', { ...NONE, enforce: true }, /needs http_proxy/],
  ['a proxy behind TLS', { ...NONE, httpsProxy: 'https://p.test' }, /https_proxy is not http:/],
  ['an entry of no_proxy that is none', { ...NONE, noProxy: ['a b'] }, /no_proxy holds/],
])('proxyRoutes refuses %s', (_what, settings, message) => {
  const routes = proxyRoutes(settings);
  expect(routes.ok ? '' : routes.error).toMatch(message);
});

test('a problem with a proxy never shows its password', () => {
  const parsed = parsePolicy('proxy: { http_proxy: "http://u:hunter2@bad host" }', 'p.yaml');
  expect(JSON.stringify(parsed)).toMatch(/http_proxy is not http/);
  expect(JSON.stringify(parsed)).not.toContain('hunter2');
});

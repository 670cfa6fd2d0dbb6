import { createNarrator } from '../../src/events/human.js';
import { allowedBody, networkOf, numbered, refusedBody } from '../support/events.js';

const plain = { colour: false };
const evil = { url: 'https://evil.test/', host: 'evil.test' };

test('a refused request is one line with its URL, its reason and what to do', () => {
  const event = numbered(refusedBody({ ...evil, block_reason: "add '--allow evil.test'" }), 1);
  expect(createNarrator(plain).line(event)).toBe(
    "sallyport: refused GET https://evil.test/ (no-rule): add '--allow evil.test'",
  );
});

const lines = [
  {
    name: 'a name that is not looked up',
    type: 'dns.refused',
    network: { ...evil, port: 0, reason: 'no-rule' },
    want: 'sallyport: refused to look up evil.test (no-rule)',
  },
  {
    name: 'a connection to a private address',
    type: 'flow.refused',
    network: { host: '10.0.0.1', port: 22, reason: 'private-address' },
    want: 'sallyport: refused a connection to 10.0.0.1:22 (private-address)',
  },
  {
    name: 'a handshake',
    type: 'tls.refused',
    network: { ...evil, reason: 'no-rule' },
    want: 'sallyport: refused TLS to evil.test:443 (no-rule)',
  },
  {
    name: 'a request that could not be done',
    type: 'request.failed',
    network: { reason: 'UPSTREAM_TIMEOUT' },
    want: 'sallyport: failed GET https://allowed.test/p (UPSTREAM_TIMEOUT)',
  },
  {
    name: 'a secret on its way elsewhere, by its name only',
    type: 'secret.leak',
    network: { ...evil, secrets: ['GITHUB_TOKEN'], reason: 'secret-leak' },
    want: 'sallyport: stopped secret GITHUB_TOKEN on its way to evil.test (secret-leak)',
  },
] as const;

for (const { name, type, network, want } of lines) {
  test(`the narrator tells of ${name}`, () => {
    const event = numbered({ type, sandbox: 'sb1', network: networkOf(network) }, 1);
    expect(createNarrator(plain).line(event)).toBe(want);
  });
}

test('an allowed request is counted and not told', () => {
  const narrator = createNarrator(plain);
  expect(narrator.line(numbered(allowedBody(), 1))).toBeNull();
  expect(narrator.summary()).toBe('sallyport: 1 request, 0 refused');
});

test('a tunnel counts as one request when it closes, and an inspected flow as none', () => {
  const narrator = createNarrator(plain);
  const closed = (destination: string | null) =>
    numbered({ type: 'flow.closed', sandbox: 'sb1', network: networkOf({ layer: 'tcp', destination }) }, 1);
  narrator.line(closed('93.184.216.34:22'));
  narrator.line(closed(null));
  expect(narrator.summary()).toBe('sallyport: 1 request, 0 refused');
});

test('a refusal that repeats is told once and counted each time', () => {
  const narrator = createNarrator(plain);
  const told = [1, 2, 3].map(seq => narrator.line(numbered(refusedBody(evil), seq)));
  expect(told.map(line => line !== null)).toEqual([true, false, false]);
  expect(narrator.summary()).toBe('sallyport: 3 requests, 3 refused (evil.test 3)');
});

test('the summary names the most refused hosts first and counts the rest', () => {
  const narrator = createNarrator(plain);
  let seq = 0;
  for (let host = 0; host < 7; host++) {
    for (let times = 0; times <= host; times++) {
      narrator.line(numbered(refusedBody({ host: `h${host}.test` }), ++seq));
    }
  }
  expect(narrator.summary()).toBe(
    'sallyport: 28 requests, 28 refused (h6.test 7, h5.test 6, h4.test 5, h3.test 4, h2.test 3, 2 more)',
  );
});

test('nothing happened, so there is no summary', () => {
  expect(createNarrator(plain).summary()).toBeNull();
});

test('hostile text reaches the terminal as printable ASCII and short', () => {
  const url = `https://evil.test/\u001b[2J\r\n\u202e${'a'.repeat(1_000)}`;
  const line = createNarrator(plain).line(numbered(refusedBody({ ...evil, url, method: 'G\u0007' }), 1));
  expect(line).toMatch(/^[\x20-\x7e]+$/);
  expect(line?.length).toBeLessThan(400);
});

test('colour is there when asked for, and only then', () => {
  const event = numbered(refusedBody(evil), 1);
  expect(createNarrator({ colour: true }).line(event)).toContain('\u001b[31mrefused\u001b[0m');
  expect(createNarrator(plain).line(event)).not.toContain('\u001b');
});

test('memory of what was told stays bounded, and telling goes on', () => {
  const narrator = createNarrator(plain);
  for (let seq = 1; seq <= 5_000; seq++) narrator.line(numbered(refusedBody({ host: `h${seq}.test` }), seq));
  expect(narrator.line(numbered(refusedBody({ host: 'new.test' }), 5_001))).not.toBeNull();
  expect(narrator.summary()).toContain('5001 requests, 5001 refused');
});

test('one name that is refused for both address families is one refusal', () => {
  const narrator = createNarrator(plain);
  for (const [at, method] of ['A', 'AAAA', 'A', 'AAAA'].entries()) {
    const body = refusedBody({ ...evil, method });
    narrator.line(numbered({ ...body, type: 'dns.refused' }, at + 1));
  }
  expect(narrator.summary()).toBe('sallyport: 2 requests, 2 refused (evil.test 2)');
});

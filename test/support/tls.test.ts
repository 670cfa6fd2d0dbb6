import tls from 'node:tls';
import { issue, makeTestCa, startTlsServer } from './tls.js';

test('a test server is accepted by a client that trusts its root, through an intermediate', async () => {
  const root = makeTestCa();
  const ca = makeTestCa({ issuer: root });
  const server = await startTlsServer({ ca, names: ['api.test'], alpn: ['h2', 'http/1.1'] });
  const socket = tls.connect({
    host: '127.0.0.1',
    port: server.port,
    servername: 'api.test',
    ca: root.rootPem,
    ALPNProtocols: ['http/1.1'],
  });
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  expect(socket.authorized).toBe(true);
  expect(socket.alpnProtocol).toBe('http/1.1');
  socket.end('12345');
  await new Promise(resolve => socket.once('close', resolve));
  expect(server.seen).toMatchObject({ connections: 1, handshakes: 1, bytes: 5, names: ['api.test'] });
  await server.close();
});

test('a test server that is not trusted sees no byte', async () => {
  const server = await startTlsServer({ ca: makeTestCa(), names: ['api.test'] });
  const socket = tls.connect({
    host: '127.0.0.1',
    port: server.port,
    servername: 'api.test',
    ca: makeTestCa().rootPem,
  });
  const error = await new Promise<Error>(resolve => socket.once('error', resolve));
  expect(error).toMatchObject({ code: expect.stringMatching(/UNABLE_TO/) });
  await server.close();
  expect(server.seen.bytes).toBe(0);
});

test('issue makes leaves with every defect that is asked for', () => {
  const ca = makeTestCa({ permittedDns: ['inside.test'] });
  for (const key of ['ec', 'rsa-1024', 'rsa-2048'] as const) {
    expect(issue(ca, { names: ['127.0.0.1', '::1', 'a.test'], key, hash: 'sha1' }).certPem).toContain(
      'BEGIN CERTIFICATE',
    );
  }
});

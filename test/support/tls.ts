/**
 * Real TLS servers on loopback for tests, with real certificates of test authorities.
 *
 * `startTlsServer` gives each connection after its handshake to `handler`; `startH2Server` speaks HTTP/2. Both count
 * what they saw, so that a test can say "not one byte of a request came".
 */
import http2 from 'node:http2';
import type { AddressInfo, Server, Socket } from 'node:net';
import tls from 'node:tls';
import { issue, type LeafOptions, type TestCa, type TestLeaf } from './certificates.js';

export * from './certificates.js';

export interface TlsServerOptions {
  readonly ca: TestCa;
  /** Names of the leaf: DNS names or addresses. */
  readonly names: readonly string[];
  /** Defects of the leaf. */
  readonly leaf?: Omit<LeafOptions, 'names'>;
  /** A ready-made certificate in place of one from `ca`. */
  readonly certificate?: TestLeaf;
  /** Protocols offered by ALPN, best first; absent: the server does not speak ALPN. */
  readonly alpn?: readonly string[];
  /** Node's options on top, as `maxVersion`. */
  readonly tls?: tls.TlsOptions;
  /** Owns the socket; absent: bytes are read and dropped. */
  readonly handler?: (socket: tls.TLSSocket) => void;
}

export interface TestServer {
  readonly port: number;
  /** Connections accepted, handshakes finished, and bytes of application data received. */
  readonly seen: { connections: number; handshakes: number; bytes: number; names: (string | false)[] };
  /** Cuts every connection, as a crash would. */
  drop(): void;
  /** Ends the server and every connection. */
  close(): Promise<void>;
}

/** A TLS server on 127.0.0.1 and a free port. Old keys and hashes are not refused here: that is the client's part. */
export async function startTlsServer(options: TlsServerOptions): Promise<TestServer> {
  const server = tls.createServer({
    ...serverCredentials(options),
    ...(options.alpn && { ALPNProtocols: [...options.alpn] }),
    ...options.tls,
  });
  return listen(server, server, socket => {
    if (options.handler) options.handler(socket);
    else socket.resume();
  });
}

export interface H2ServerOptions extends Omit<TlsServerOptions, 'handler' | 'alpn'> {
  readonly settings?: http2.Settings;
  readonly onStream: (
    stream: http2.ServerHttp2Stream,
    headers: http2.IncomingHttpHeaders,
    flags: number,
    rawHeaders: string[],
  ) => void;
  readonly onSession?: (session: http2.ServerHttp2Session) => void;
}

/** An HTTP/2 server on 127.0.0.1 and a free port, h2 only. */
export async function startH2Server(options: H2ServerOptions): Promise<TestServer> {
  const server = http2.createSecureServer({
    ...serverCredentials(options),
    ...options.tls,
    settings: options.settings ?? {},
  });
  // Node's types forget the fourth argument, the raw fields in their order.
  server.on('stream', options.onStream as (...args: unknown[]) => void);
  server.on('sessionError', () => {}); // A client that hangs up is what some tests are about.
  if (options.onSession) server.on('session', options.onSession);
  return listen(server, server, () => {});
}

function serverCredentials(
  options: Pick<TlsServerOptions, 'ca' | 'names' | 'leaf' | 'certificate'>,
): tls.TlsOptions {
  const { keyPem, certPem } =
    options.certificate ?? issue(options.ca, { ...options.leaf, names: options.names });
  return { key: keyPem, cert: certPem, ciphers: 'DEFAULT:@SECLEVEL=0' };
}

async function listen(
  server: Server,
  tlsServer: Server,
  onSecure: (socket: tls.TLSSocket) => void,
): Promise<TestServer> {
  const sockets = new Set<Socket>();
  const seen: TestServer['seen'] = { connections: 0, handshakes: 0, bytes: 0, names: [] };
  server.on('connection', (socket: Socket) => {
    seen.connections++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {}); // A client that hangs up is what some tests are about.
  });
  tlsServer.on('tlsClientError', () => {}); // So is one that refuses our certificate.
  tlsServer.on('secureConnection', (socket: tls.TLSSocket) => {
    seen.handshakes++;
    seen.names.push(socket.servername ?? false);
    socket.on('error', () => {});
    countBytes(socket, bytes => {
      seen.bytes += bytes;
    });
    onSecure(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    drop: () => {
      for (const socket of sockets) socket.destroy();
    },
    close: () =>
      new Promise<void>(resolve => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Counts what is read without making the socket flow. */
function countBytes(socket: tls.TLSSocket, count: (bytes: number) => void): void {
  const push = socket.push.bind(socket);
  socket.push = (chunk: Buffer | null, encoding?: BufferEncoding) => {
    if (chunk) count(chunk.length);
    return push(chunk, encoding);
  };
}

/** OpenSSL's reading of a ClientHello, by way of Node's TLS server over a connection in memory. */
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import tls from 'node:tls';
import { issue, makeTestCa } from '../../test/support/certificates.js';
import { memoryLink } from '../../test/support/memory-link.js';

export interface HelloSeen {
  /** As it came; null: there was none, or OpenSSL did not look for it. */
  readonly serverName: string | null;
  /** Null: there was no ALPN extension, or OpenSSL did not come so far. */
  readonly protocols: readonly string[] | null;
}

const TURNS = 4;

let server: tls.Server | null = null;
let seen: { serverName: string | null; protocols: readonly string[] | null } | null = null;

function open(): tls.Server {
  if (server !== null) return server;
  const { keyPem, certPem } = issue(makeTestCa(), { names: ['a.test'] });
  server = tls.createServer({
    key: keyPem,
    cert: certPem,
    SNICallback: (name, done) => {
      if (seen !== null) seen.serverName = name;
      done(null);
    },
    ALPNCallback: ({ protocols }) => {
      if (seen !== null) seen.protocols = Array.from(protocols);
      return protocols[0];
    },
  });
  server.on('tlsClientError', () => undefined);
  server.on('secureConnection', socket => void socket.on('error', () => undefined));
  return server;
}

/** One at a time. */
export async function opensslReads(bytes: Buffer): Promise<HelloSeen> {
  seen = { serverName: null, protocols: null };
  const { near, far } = memoryLink();
  near.on('error', () => undefined).resume();
  far.on('error', () => undefined);
  open().emit('connection', far);
  near.write(bytes);
  for (let i = 0; i < TURNS; i++) await turn();
  const result = seen;
  seen = null;
  const closed = far.destroyed ? null : once(far, 'close');
  near.destroy();
  far.destroy();
  await closed;
  return result;
}

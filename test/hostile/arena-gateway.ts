/** The arena's gateway; `arena.ts` begins it. */
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { parseAddress } from '../../src/core/address.js';
import { parseHostname } from '../../src/core/host.js';
import { createGateway, type Gateway } from '../../src/gateway.js';
import { documentFrom } from '../../src/policy/document.js';
import { Ca } from '../../src/proxy/tls/ca.js';
import { trustRoots } from '../../src/proxy/upstream/trust.js';

export interface ArenaOptions {
  readonly policy: object;
  /** Where connections to ports 80 and 443 really go. */
  readonly plainPort: number;
  readonly securePort: number;
  /** Where connections to `quiet.test:443` really go: the upstream that is not attacked. */
  readonly quietPort: number;
  readonly upstreamRoot: string;
}

export interface ArenaPorts {
  readonly caPem: string;
  readonly hostile: { readonly plain: number; readonly secure: number };
  readonly victim: { readonly plain: number; readonly secure: number };
}

const options = JSON.parse(process.argv[2] ?? '{}') as ArenaOptions;
const ca = Ca.ephemeral();
const gateway = await openGateway();
const ports: ArenaPorts = {
  caPem: ca.certPem,
  hostile: await openDoor('hostile'),
  victim: await openDoor('victim'),
};
process.stdout.write(`${JSON.stringify(ports)}\n`);
process.stdin.resume().once('end', () => process.exit(0));

function attackedPort(port: number): number {
  return port === 443 ? options.securePort : options.plainPort;
}

async function openGateway(): Promise<Gateway> {
  const document = documentFrom(options.policy, 'arena');
  const address = parseAddress('93.184.215.14');
  const quiet = parseAddress('93.184.215.15');
  if (!document.ok || !address.ok || !quiet.ok) throw new Error('the arena has no policy');
  return createGateway({
    layers: [document.value],
    ca,
    trust: trustRoots([options.upstreamRoot]),
    resolver: { resolve: async name => [name === 'quiet.test' ? quiet.value : address.value] },
    dialler: endpoint =>
      net.connect({
        host: '127.0.0.1',
        port: endpoint.address.text === quiet.value.text ? options.quietPort : attackedPort(endpoint.port),
        allowHalfOpen: true,
        noDelay: true,
      }),
    env: {},
  });
}

async function openDoor(sandbox: string): Promise<{ plain: number; secure: number }> {
  const admitted = gateway.admit(sandbox);
  const name = parseHostname('allowed.test');
  const synthetic = parseAddress('198.18.0.1');
  if (!name.ok || !synthetic.ok) throw new Error('unreachable');
  let flows = 0;
  const listen = async (port: number): Promise<number> => {
    const server = net.createServer({ allowHalfOpen: true, noDelay: true }, socket => {
      socket.on('error', () => undefined); // An attacker hangs up as it likes.
      const endpoint = { address: synthetic.value, port };
      void admitted.accept({
        id: `${sandbox}-${++flows}`,
        sandbox,
        source: endpoint,
        target: endpoint,
        // Plain HTTP to the name; for TLS the handshake says which.
        host: port === 80 ? name.value : null,
        accept: () => socket,
        refuse: () => void socket.resetAndDestroy(),
      });
    });
    server.on('error', () => undefined); // Out of descriptors: the next may be taken.
    await once(server.listen(0, '127.0.0.1', 4_096), 'listening');
    return (server.address() as AddressInfo).port;
  };
  return { plain: await listen(80), secure: await listen(443) };
}

/**
 * `sallyport demo`: five outcomes without the internet. A TLS upstream on loopback, real curl in a real sandbox, and
 * the event lines of what happened (shell: it opens a server).
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { parseAddress } from '../core/address.js';
import { GatewayError } from '../core/errors.js';
import { type Host, parseHostname } from '../core/host.js';
import type { Resolver } from '../dns/resolver.js';
import { encodeEvent } from '../events/encode.js';
import type { Event } from '../events/event.js';
import { createGateway, type Gateway, type Sandbox } from '../gateway.js';
import { parsePolicy } from '../policy/document.js';
import { flagsLayer } from '../policy/flags.js';
import { configInvalid } from '../policy/problem.js';
import { Ca } from '../proxy/tls/ca.js';
import { trustRoots } from '../proxy/upstream/trust.js';
import { EXIT_OWN_FAILURE, type Io } from './io.js';
import { statePaths } from './paths.js';

const API = 'api.example.test';
const OTHER = 'other.example.test';
const INTRANET = 'intranet.example.test';
const SECRET_VALUE = 'real-token-0123456789abcdef';

interface Scene {
  readonly title: string;
  readonly script: string;
}

const CURL = 'curl --silent --show-error --max-time 8';

const SCENES: readonly Scene[] = [
  {
    title: `An allowed request. curl holds a placeholder; ${API} gets the token`,
    script: `echo "in the sandbox: API_TOKEN=$API_TOKEN"; ${CURL} -H "Authorization: Bearer $API_TOKEN" https://${API}/user`,
  },
  {
    title: 'A host that no rule allows has no address',
    script: `${CURL} https://evil.example.test/`,
  },
  {
    title: `A method that no rule allows is refused, inside TLS, in words`,
    script: `${CURL} -X DELETE https://${OTHER}/repo`,
  },
  {
    title: `An allowed name that leads to a private address`,
    script: `${CURL} https://${INTRANET}/`,
  },
  {
    title: `The placeholder, on its way to a host that the secret is not for`,
    script: `${CURL} -H "Authorization: Bearer $API_TOKEN" https://${OTHER}/`,
  },
];

/** Plays the five scenes; resolves to the exit code. */
export async function runDemo(io: Io): Promise<number> {
  const started = performance.now();
  const upstreamCa = Ca.ephemeral();
  const server = await startUpstream(upstreamCa);
  const events: Event[] = [];
  let gateway: Gateway | null = null;
  try {
    gateway = await startGateway(upstreamCa, (server.address() as AddressInfo).port, events);
    const sandbox = await gateway.openSandbox('demo');
    for (const [at, scene] of SCENES.entries()) await play(at + 1, scene, sandbox, io);
  } catch (error) {
    io.stderr(`sallyport: ${error instanceof Error ? error.message : String(error)}\n`);
    return EXIT_OWN_FAILURE;
  } finally {
    await gateway?.close();
    server.closeAllConnections();
    server.close();
  }
  io.stdout('\nThe event stream, one line for everything that happened:\n');
  for (const event of events) io.stdout(encodeEvent(event));
  io.stdout(
    `\n${SCENES.length} outcomes, ${events.length} events, ${((performance.now() - started) / 1000).toFixed(1)} s\n`,
  );
  return 0;
}

/** Answers who it heard: the real token is known only on this side. */
async function startUpstream(ca: Ca): Promise<Server> {
  const context = (name: string) => ca.leafContext(nameOf(name), 'upstream');
  const server = createServer(
    { SNICallback: (name, done) => done(null, context(name)), ALPNProtocols: ['http/1.1'] },
    (request, response) => {
      const known = request.headers.authorization === `Bearer ${SECRET_VALUE}`;
      response.setHeader('Content-Type', 'application/json');
      response.end(`${JSON.stringify({ upstream: request.headers.host, real_token_received: known })}\n`);
    },
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function startGateway(upstreamCa: Ca, port: number, events: Event[]): Promise<Gateway> {
  const flags = flagsLayer({ secret: [`API_TOKEN=${SECRET_VALUE}@${API}`] });
  if (!flags.ok) throw configInvalid('demo', flags.error);
  const document = parsePolicy(
    `mode: block_all
allow_domain:
  - domain: ${API}
  - { domain: ${OTHER}, methods: [GET, POST] }
  - domain: ${INTRANET}
add_hosts:
  ${API}: 127.0.0.1:${port}
  ${OTHER}: 127.0.0.1:${port}
`,
    'demo.yaml',
  );
  if (!document.ok) throw configInvalid('demo.yaml', document.error);
  return createGateway({
    layers: [document.value, flags.value.document],
    literals: flags.value.literals,
    ca: Ca.ephemeral(),
    sinks: [{ name: 'demo', whenFull: 'drop-and-mark', write: batch => void events.push(...batch) }],
    trust: trustRoots([upstreamCa.certPem]),
    resolver: INTRANET_RESOLVER,
  });
}

/** As a company's DNS would have it, or a rebinding attacker's. */
const INTRANET_RESOLVER: Resolver = {
  resolve: async name => {
    const address = parseAddress('10.0.0.5');
    if (name === INTRANET && address.ok) return [address.value];
    throw new GatewayError('RESOLVE_FAILED', `${name} has no address`);
  },
};

function nameOf(text: string): Host {
  const name = parseHostname(text);
  if (!name.ok) throw new GatewayError('CLIENT_PROTOCOL', 'not a name');
  return { kind: 'name', name: name.value };
}

async function play(number: number, { title, script }: Scene, sandbox: Sandbox, io: Io): Promise<void> {
  io.stdout(`\n${number}. ${title}\n   $ ${script.replaceAll(`${CURL} `, 'curl ')}\n`);
  const command = await sandbox.run({
    argv: ['sh', '-c', script],
    env: process.env,
    workdir: process.cwd(),
    binds: [],
    noFsIsolation: false,
    hide: statePaths(process.env).hidden,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const indent = (text: string): void => io.stdout(text.replace(/^(?=.)/gm, '   '));
  command.stdout?.setEncoding('utf8').on('data', indent);
  command.stderr?.setEncoding('utf8').on('data', indent);
  await command.exit;
}

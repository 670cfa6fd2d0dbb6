/**
 * A whole gateway on loopback for tests: real flows in, recording upstreams out. Names resolve as the test says, and
 * whatever address the gateway dials is one of the upstreams on 127.0.0.1: nothing leaves the machine.
 */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { type Endpoint, endpointText } from '../../src/core/address.js';
import { GatewayError } from '../../src/core/errors.js';
import { type Hostname, parseHostname } from '../../src/core/host.js';
import type { Event } from '../../src/events/event.js';
import type { Sink } from '../../src/events/feeder.js';
import { PROXY_PORT } from '../../src/gateway/of-policy.js';
import { type Admitted, createGateway, type Gateway } from '../../src/gateway.js';
import type { Flow } from '../../src/net/flow.js';
import { GATE_IPV4 } from '../../src/net/vestibule/ruleset.js';
import { documentFrom } from '../../src/policy/document.js';
import type { PolicyDocument } from '../../src/policy/policy.js';
import { Ca } from '../../src/proxy/tls/ca.js';
import type { UpstreamTimes } from '../../src/proxy/upstream/connect.js';
import { trustRoots } from '../../src/proxy/upstream/trust.js';
import { socketPair } from './loopback.js';
import { ip } from './policy.js';
import { makeTestCa, type TestCa } from './tls.js';
import { startUpstream, type Upstream } from './upstream.js';

export interface BenchOptions {
  /** What a policy file would hold. */
  readonly policy: object;
  /** Addresses of a name; absent: one public address for every name. */
  readonly resolve?: (name: Hostname) => readonly string[];
  /** Values of the policy's secrets. */
  readonly literals?: ReadonlyMap<string, string>;
  /** The gateway's own environment; read again at each reload. Default: empty. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Names of the upstream's certificate. */
  readonly names?: readonly string[];
  /** The upstream that an endpoint stands for; absent or null: by port, 80 plain, 443 TLS. */
  readonly route?: (endpoint: Endpoint) => Pick<Upstream, 'port'> | null;
  /** The TLS upstream speaks HTTP/2. */
  readonly h2?: boolean;
  /** Deadlines towards the upstream. */
  readonly times?: Partial<UpstreamTimes>;
  readonly sinks?: readonly Sink[];
  /** Signs the upstreams' certificates; absent: made anew. */
  readonly upstreamCa?: TestCa;
}

/** Where a flow goes: an address, and the name that the resolver gave it out for. */
export interface Target {
  readonly host: string | null;
  readonly port: number;
  /** Default: a synthetic address. */
  readonly address?: string;
  /** Whose connection it is; default: the bench's one sandbox. */
  readonly sandbox?: string;
}

export interface Bench extends AsyncDisposable {
  readonly gateway: Gateway;
  readonly plain: Upstream;
  readonly secure: Upstream;
  /** Signs the upstreams' certificates, and is what the gateway trusts. */
  readonly upstreamCa: TestCa;
  /** The interception CA's certificate: what a sandbox trusts. */
  readonly caPem: string;
  readonly events: Event[];
  /** Endpoints that were dialled, as text. */
  readonly dialled: string[];
  /** Flows that have not ended. */
  readonly openFlows: number;
  /** A connection of the sandbox. */
  connect(target: Target): Promise<net.Socket>;
  /** The same with TLS inside; `servername` null sends no SNI. Rejects if the handshake fails. */
  connectTls(target: Target, options?: ClientTls): Promise<tls.TLSSocket>;
  /** A connection to the proxy that the sandbox finds at a documented address. */
  connectProxy(): Promise<net.Socket>;
  /** Forgets what was recorded. */
  clear(): void;
}

export interface ClientTls {
  readonly servername?: string | null;
  readonly alpn?: readonly string[];
}

/** A public address that no upstream has; the route decides. */
export const PUBLIC_ADDRESS = '93.184.215.14';

const SYNTHETIC = '198.18.0.1';

const SANDBOX = 'bench';

export const DEFAULT_NAMES: readonly string[] = [
  'allowed.test',
  '*.allowed.test',
  'denied.test',
  'evil.test',
  '*.evil.test',
  '*.other.test',
];

export async function openBench(options: BenchOptions): Promise<Bench> {
  const upstreamCa = options.upstreamCa ?? makeTestCa();
  const names = options.names ?? DEFAULT_NAMES;
  const [plain, secure] = await Promise.all([
    startUpstream(),
    startUpstream({ tls: { ca: upstreamCa, names }, h2: options.h2 ?? false }),
  ]);
  const ca = Ca.ephemeral();
  const dialled: string[] = [];
  const dialler = (endpoint: Endpoint): net.Socket => {
    dialled.push(endpointText(endpoint));
    const byPort = endpoint.port === 443 ? secure : endpoint.port === 80 ? plain : null;
    return dialUpstream(options.route?.(endpoint) ?? byPort);
  };
  const gateway = await createGateway({
    layers: [policyDocument(options.policy)],
    ca,
    trust: trustRoots([upstreamCa.rootPem]),
    resolver: { resolve: async name => resolved(name, options.resolve) },
    dialler,
    env: options.env ?? {},
    sinks: options.sinks ?? [],
    ...(options.literals && { literals: options.literals }),
    ...(options.times && { times: options.times }),
  });
  return new LoopbackBench(gateway, ca, { plain, secure, upstreamCa, dialled });
}

type Parts = Pick<Bench, 'plain' | 'secure' | 'upstreamCa' | 'dialled'>;

class LoopbackBench implements Bench {
  readonly gateway: Gateway;
  readonly plain: Upstream;
  readonly secure: Upstream;
  readonly upstreamCa: TestCa;
  readonly dialled: string[];
  readonly events: Event[] = [];
  openFlows = 0;
  readonly #ca: Ca;
  readonly #admitted = new Map<string, Admitted>();
  #flows = 0;

  constructor(gateway: Gateway, ca: Ca, { plain, secure, upstreamCa, dialled }: Parts) {
    this.gateway = gateway;
    this.plain = plain;
    this.secure = secure;
    this.upstreamCa = upstreamCa;
    this.dialled = dialled;
    this.#ca = ca;
    this.#admitted.set(SANDBOX, gateway.admit(SANDBOX));
    gateway.bus.subscribe(event => void this.events.push(event));
  }

  get caPem(): string {
    return this.#ca.certPem;
  }

  async connect({ host, port, address = SYNTHETIC, sandbox = SANDBOX }: Target): Promise<net.Socket> {
    const { near, far } = await socketPair();
    near.on('error', () => undefined); // A reset is what some tests are about.
    const flow: Flow = {
      id: `f${++this.#flows}`,
      sandbox,
      source: { address: ip('10.0.0.2'), port: 40_000 },
      target: { address: ip(address), port },
      host: host === null ? null : hostname(host),
      accept: () => far,
      refuse: () => void far.resetAndDestroy(),
    };
    this.openFlows += 1;
    const admitted = this.#admitted.get(sandbox) ?? this.gateway.admit(sandbox);
    this.#admitted.set(sandbox, admitted);
    void admitted.accept(flow).finally(() => {
      this.openFlows -= 1;
    });
    return near;
  }

  async connectTls(
    target: Target,
    { servername = target.host, alpn }: ClientTls = {},
  ): Promise<tls.TLSSocket> {
    const socket = tls.connect({
      socket: await this.connect(target),
      ca: this.#ca.certPem,
      ...(servername !== null && { servername }),
      // The tests look at what the sandbox gets; what it verifies is asked where certificates are the subject.
      checkServerIdentity: () => undefined,
      ...(alpn && { ALPNProtocols: [...alpn] }),
    });
    socket.on('error', () => undefined); // a refused handshake rejects, and may fail once more
    await once(socket, 'secureConnect');
    return socket;
  }

  connectProxy(): Promise<net.Socket> {
    return this.connect({ host: null, port: PROXY_PORT, address: GATE_IPV4 });
  }

  clear(): void {
    this.events.length = 0;
    this.dialled.length = 0;
    this.plain.clear();
    this.secure.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway.close();
    await Promise.all([this.plain.close(), this.secure.close()]);
  }
}

function dialUpstream(upstream: Pick<Upstream, 'port'> | null): net.Socket {
  if (upstream === null) return new net.Socket().destroy(new Error('no upstream stands for this endpoint'));
  return net.connect({ host: '127.0.0.1', port: upstream.port, allowHalfOpen: true, noDelay: true });
}

function resolved(name: Hostname, resolve: BenchOptions['resolve']) {
  const texts = resolve?.(name) ?? [PUBLIC_ADDRESS];
  if (texts.length === 0) throw new GatewayError('RESOLVE_FAILED', `${name} has no address`);
  return texts.map(ip);
}

function policyDocument(policy: object): PolicyDocument {
  const document = documentFrom(policy, 'bench');
  if (!document.ok) throw new Error(JSON.stringify(document.error));
  return document.value;
}

function hostname(text: string): Hostname {
  const name = parseHostname(text);
  if (!name.ok) throw new Error(`${text} is no name`);
  return name.value;
}

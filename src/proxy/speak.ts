/** The readers of the corridor: gives a connection whose protocol is known to the codec that speaks it. */
import type { Duplex } from 'node:stream';
import { addressFromBytes, type Endpoint } from '../core/address.js';
import { errorCode, GatewayError } from '../core/errors.js';
import type { Host, Hostname } from '../core/host.js';
import type { Flow } from '../net/flow.js';
import { decide } from '../policy/decide.js';
import type { Policy } from '../policy/policy.js';
import { type Leak, NO_SCOPE, scanText } from '../secrets/scan.js';
import type { SandboxSecrets } from '../secrets/store.js';
import { emitNetwork, type ProxyContext } from './context.js';
import type { Exchange } from './exchange.js';
import type { FlowTrace } from './flow-trace.js';
import {
  type ConnectRequest,
  type FaultAnswer,
  type FaultReport,
  type ServerLimits,
  type ServerOptions,
  serveHttp1,
} from './http1/server.js';
import { ERROR } from './http2/frames.js';
import { serveHttp2 } from './http2/server.js';
import { type Refusal, refusalContent, refusalOfClaim, refusalOfVerdict } from './refusal.js';
import { serve } from './serve.js';
import { ALERT } from './tls/alert.js';
import type { ClientHello } from './tls/client-hello.js';
import { sniff } from './tls/sniff.js';
import { refuseTls, terminate } from './tls/terminate.js';

/** How long a client may take, inside TLS, to say what it speaks: longer than a pool's idle connections wait. */
const INNER_BYTES_MS = 60_000;

/** Serves plain HTTP/1 on a flow to its end. */
export function speakHttp(socket: Duplex, flow: Flow, context: ProxyContext): Promise<void> {
  return serveHttp1(socket, new PlainService(flow, context));
}

/** One object for each connection that is open, where a literal with two closures is four. */
class PlainService implements ServerOptions {
  readonly mode = 'transparent';
  readonly scheme = 'http';
  readonly name: Hostname | null;
  readonly target: Endpoint;
  readonly limits: Partial<ServerLimits>;
  readonly #flow: Flow;
  readonly #context: ProxyContext;

  constructor(flow: Flow, context: ProxyContext) {
    this.name = flow.host;
    this.target = flow.target;
    this.limits = readerLimits(context);
    this.#flow = flow;
    this.#context = context;
  }

  onExchange(exchange: Exchange): Promise<void> {
    return serve(exchange, this.#flow, this.#context);
  }

  onFault(fault: FaultReport): FaultAnswer {
    return reportFault(fault, this.#flow, this.#context);
  }
}

/** Ends TLS for `name` (null: for the address of the flow) and serves what is inside. */
export async function speakTls(
  socket: Duplex,
  hello: ClientHello,
  name: Hostname | null,
  flow: Flow,
  trace: FlowTrace,
  context: ProxyContext,
): Promise<void> {
  const host: Host = name === null ? { kind: 'ip', address: flow.target.address } : { kind: 'name', name };
  const shown = name ?? flow.target.address.text;
  let secured: Awaited<ReturnType<typeof terminate>>;
  try {
    await beginning(socket, context);
    const leaf = context.ca.leafContext(host, context.sandbox);
    secured = await terminate(socket, hello, leaf, {}, context.closing);
  } catch (error) {
    // As for a request over the rate: to be refused at once would be asked for again at once.
    if (errorCode(error) === 'LIMIT_EXCEEDED') await context.limits.beforeRefusal(context.closing);
    trace.tlsRefused(
      shown,
      errorCode(error),
      null,
      error instanceof Error ? error.message : 'the handshake failed',
    );
    if (!socket.destroyed) refuseTls(socket, ALERT.accessDenied);
    return;
  }
  const inside = {
    scheme: 'https',
    name,
    target: flow.target,
    limits: readerLimits(context),
    onExchange: (exchange: Parameters<typeof serve>[0]) => serve(exchange, flow, context),
    onFault: (fault: FaultReport) => reportFault(fault, flow, context, secured.alpnProtocol === 'h2'),
  } as const;
  trace.note({ protocol: 'https' });
  // OpenSSL says TLSv1.3; a handshake has one end only, and what is inside may still refuse it.
  const done = (): void => trace.tlsDone(shown, secured.getProtocol()?.replace('TLSv', 'tls') ?? 'tls');
  if (secured.alpnProtocol === 'h2') {
    done();
    return await serveHttp2(secured, {
      ...inside,
      onSessionFault: ({ code, reason }) => {
        if (code === ERROR.enhanceYourCalm) context.limits.misbehaved();
        trace.note({ fault: `the client broke HTTP/2: ${reason}` });
      },
    });
  }
  const hint = 'the bytes inside TLS are not HTTP; a tls.passthrough rule would let them pass unread';
  const opening = {
    isHttp: speaksHttp,
    onHttp: done,
    onOther: () => trace.tlsRefused(shown, 'not-inspectable', null, hint),
    silenceMs: INNER_BYTES_MS,
  };
  await serveHttp1(secured, { mode: 'tls', ...inside, opening });
  done(); // of a client that never said what it speaks
}

/** Resolves when it is this connection's turn to be answered. */
async function beginning(socket: Duplex, { limits, closing }: ProxyContext): Promise<void> {
  const calm = limits.calm(closing);
  if (calm !== null) await calm;
  const turn = limits.turn('handshake');
  if (turn !== null) await turn;
  if (socket.destroyed) throw new GatewayError('CLIENT_ABORTED', 'the client left before the TLS handshake');
}

function speaksHttp(bytes: Buffer): boolean | null {
  const sniffed = sniff(bytes);
  return sniffed === 'incomplete' ? null : sniffed === 'http';
}

/**
 * Serves the explicit proxy's port: absolute-form and CONNECT, decided as everything else is. What a tunnel carries
 * goes to `enter`, which looks at its first bytes as at those of any flow.
 */
export function speakProxy(
  socket: Duplex,
  flow: Flow,
  context: ProxyContext,
  enter: (flow: Flow) => Promise<void>,
): Promise<void> {
  return serveHttp1(socket, {
    mode: 'proxy',
    scheme: 'http',
    name: null,
    target: flow.target,
    limits: readerLimits(context),
    onExchange: exchange => serve(exchange, flow, context),
    onConnect: request => connect(request, flow, context, enter),
    onFault: fault => reportFault(fault, flow, context),
  });
}

const UNSPECIFIED = addressFromBytes(new Uint8Array(4));

async function connect(
  request: ConnectRequest,
  outer: Flow,
  context: ProxyContext,
  enter: (flow: Flow) => Promise<void>,
): Promise<void> {
  const { host, port } = request.authority;
  const target = { address: host.kind === 'ip' ? host.address : UNSPECIFIED, port };
  const name = host.kind === 'name' ? host.name : null;
  const verdict = decide(context.gate().policy, { ask: 'open', host: name, target });
  if (verdict.allow) {
    const inner = { ...outer, id: `${outer.id}-connect`, target, host: name };
    return await enter({
      ...inner,
      accept: () => request.accept(),
      refuse: () => request.refuse(403, EMPTY),
    });
  }
  const refusal = refusalOfVerdict(verdict, request.authority);
  emitNetwork(context, 'request.refused', {
    layer: 'http',
    decision: 'deny',
    flow: outer.id,
    request: context.nextRequestId(),
    method: 'CONNECT',
    url: refusal.host,
    host: name ?? target.address.text,
    port,
    status_code: refusal.status,
    request_bytes: request.headBytes,
    blocked: true,
    block_reason: refusal.hint,
    reason: refusal.reason,
    rule: refusal.rule,
    protocol: 'http/1.1',
  });
  request.refuse(refusal.status, refusalContent(refusal));
}

const EMPTY = new Uint8Array(0);

/** A request that was none: one event, and the readable answer. A placeholder in it outweighs what else is wrong. */
function reportFault(fault: FaultReport, flow: Flow, context: ProxyContext, overH2 = false): FaultAnswer {
  if (fault.inExchange) return null;
  const host = flow.host ?? flow.target.address.text;
  const facts = {
    layer: 'http',
    decision: 'deny',
    flow: flow.id,
    request: context.nextRequestId(),
    method: fault.claimed?.method ?? '',
    url: fault.claimed?.target ?? '',
    host,
    port: flow.target.port,
    blocked: true,
    protocol: overH2 ? 'h2' : 'http/1.1',
  } as const;
  const refusal = refusalOfFault(fault, host, leakInClaim(context.gate().secrets, fault.claimed));
  const { status, reason, hint, leak } = refusal;
  if (leak !== null) {
    emitNetwork(context, 'secret.leak', { ...facts, reason, block_reason: hint, secrets: [leak.secret] });
  }
  emitNetwork(context, 'request.refused', { ...facts, status_code: status, reason, block_reason: hint });
  return { status, content: refusalContent(refusal) };
}

function refusalOfFault(
  { status, code }: FaultReport,
  host: string,
  leak: Leak | null,
): Refusal & { readonly leak: Leak | null } {
  if (leak !== null) return { ...refusalOfClaim(leak, host), leak };
  const hint = `the request is not exactly one HTTP request: ${code}`;
  return { status, error: 'ErrBadRequest', reason: code, rule: null, host, hint, leak };
}

/** What may go nowhere, in a request that was none. */
function leakInClaim(secrets: SandboxSecrets, claimed: FaultReport['claimed']): Leak | null {
  if (claimed === null || secrets.empty) return null;
  for (const place of ['host', 'method', 'target'] as const) {
    const leak = scanText(secrets.watch, NO_SCOPE, claimed[place], place);
    if (leak !== null) return leak;
  }
  return null;
}

interface ReaderLimits {
  headBytes?: number;
  contentBytes?: number;
  contentIdleMs?: number;
}

const UNLIMITED: ReaderLimits = {};
const LIMITS = new WeakMap<Policy, ReaderLimits>();

/** What the policy limits of a request, one object for each; the readers' own limits stand where it says nothing. */
function readerLimits(context: ProxyContext): ReaderLimits {
  const { policy } = context.gate();
  if (policy === null) return UNLIMITED;
  let limits = LIMITS.get(policy);
  if (limits === undefined) {
    const { maxRequestHeadBytes, maxRequestBodyBytes, idleMs } = policy.limits;
    limits = {
      ...(maxRequestHeadBytes && { headBytes: maxRequestHeadBytes }),
      ...(maxRequestBodyBytes && { contentBytes: maxRequestBodyBytes }),
      ...(idleMs && { contentIdleMs: idleMs }),
    };
    LIMITS.set(policy, limits);
  }
  return limits;
}

/**
 * The door's inside: what one flow speaks, whether that may be, and who reads it from here on.
 *
 * A flow to an address that our resolver did not give out is not refused for that alone: a name that the bytes
 * show (SNI, Host) is decided, and dialled, whatever the address was. Bytes that show no name are judged by the
 * address.
 */
import type { Duplex } from 'node:stream';
import type { Endpoint } from '../core/address.js';
import { errorCode, GatewayError, ignoreErrors } from '../core/errors.js';
import { type Host, type Hostname, hostText } from '../core/host.js';
import type { Flow } from '../net/flow.js';
import { decide } from '../policy/decide.js';
import { denied } from '../policy/deny.js';
import type { ConnectFacts, Denial, Permission } from '../policy/hooks.js';
import type { Policy } from '../policy/policy.js';
import type { Deny, Verdict } from '../policy/question.js';
import { ruledBy } from '../policy/shadow.js';
import type { ProxyContext } from './context.js';
import { type FlowTrace, startFlowTrace } from './flow-trace.js';
import { type Peeked, type PeekLimits, peek } from './peek.js';
import { speakHttp, speakProxy, speakTls } from './speak.js';
import { ALERT, type Alert, alertOf } from './tls/alert.js';
import type { ClientHello, HelloFault } from './tls/client-hello.js';
import { readClientHello } from './tls/hello-reader.js';
import { sniff } from './tls/sniff.js';
import { refuseTls } from './tls/terminate.js';
import { splice } from './tunnel.js';

/** How long a client may keep silent where opaque bytes are allowed: then the server is to speak first. */
const SERVER_FIRST_MS = 300;
/** How long a client may take to show what it speaks. */
const FIRST_BYTES_MS = 10_000;

const SILENCE: PeekLimits = { silenceMs: FIRST_BYTES_MS, deadlineMs: FIRST_BYTES_MS };
const TUNNEL_SILENCE: PeekLimits = { silenceMs: SERVER_FIRST_MS, deadlineMs: FIRST_BYTES_MS };

const HTTP_PORT = 80;
const DONE = Promise.resolve();

/** Judges and serves one flow to its end. Never rejects. */
export async function acceptFlow(flow: Flow, context: ProxyContext): Promise<void> {
  const trace = startFlowTrace(flow, context);
  const { policy } = context.gate();
  const verdict = decide(policy, { ask: 'open', host: flow.host, target: flow.target });
  if (!verdict.allow && !mayShowName(verdict)) {
    trace.refused(verdict.reason, verdict.rule, verdict.hint);
    flow.refuse();
    return;
  }
  const hook = context.script?.onConnect ?? null;
  const denial = hook === null ? null : await askConnect(hook, flow);
  if (denial !== null) {
    trace.refused(denial.code, 'policy_script', denial.reason);
    flow.refuse();
    return;
  }
  const socket = flow.accept();
  // Every socket needs one: an unheard 'error' would end the gateway (threats T12).
  ignoreErrors(socket);
  try {
    const entrance = new Entrance(flow, socket, trace, context, { policy, verdict });
    await entrance.serve(await entrance.firstBytes());
    trace.closed(bytesOf(socket), null);
  } catch (error) {
    reset(socket);
    trace.closed(bytesOf(socket), errorCode(error));
  }
}

/** Judges and serves one connection to the explicit proxy; what a CONNECT carries is a flow of its own. Never rejects. */
export async function acceptProxyFlow(flow: Flow, context: ProxyContext): Promise<void> {
  const trace = startFlowTrace(flow, context);
  const socket = flow.accept();
  ignoreErrors(socket);
  trace.opened({ rule: null });
  trace.note({ protocol: 'http' });
  try {
    await speakProxy(socket, flow, context, inner => acceptFlow(inner, context));
    trace.closed(bytesOf(socket), null);
  } catch (error) {
    reset(socket);
    trace.closed(bytesOf(socket), errorCode(error));
  }
}

/** One flow more than `limits.max_connections` allows: refused at once, and on record. */
export function refuseFlow(flow: Flow, context: ProxyContext): void {
  const hint =
    'the sandbox has as many connections open as limits.max_connections, or its share of them, allows';
  startFlowTrace(flow, context).refused('LIMIT_EXCEEDED', 'limits.max_connections', hint);
  flow.refuse();
}

/** Null: the policy script does not mind. */
async function askConnect(
  hook: (facts: ConnectFacts) => Promise<Permission>,
  { host, target }: Flow,
): Promise<Denial | null> {
  const answer = await hook({ host, address: target.address.text, port: target.port });
  return answer.kind === 'deny' ? answer : null;
}

/** Without a policy, nothing that the bytes show could be allowed. */
function mayShowName(verdict: Deny): boolean {
  return verdict.reason !== 'no-policy' && verdict.reason !== 'gateway-address';
}

/** What was said of a flow before a byte of it was read, and by which policy. */
interface Opened {
  readonly policy: Policy | null;
  readonly verdict: Verdict;
}

/**
 * One flow between its first bytes and the reader that it is given to. What keeps a frame of its own while the reader
 * works is kept, and copied by the collector, for each connection that is open.
 */
class Entrance {
  readonly #flow: Flow;
  readonly #socket: Duplex;
  /** What the verdict was given by. */
  readonly #policy: Policy | null;
  #verdict: Verdict;
  readonly #trace: FlowTrace;
  readonly #context: ProxyContext;

  constructor(flow: Flow, socket: Duplex, trace: FlowTrace, context: ProxyContext, opened: Opened) {
    this.#flow = flow;
    this.#socket = socket;
    this.#policy = opened.policy;
    this.#verdict = opened.verdict;
    this.#trace = trace;
    this.#context = context;
  }

  firstBytes(): Promise<Peeked<Spoken>> {
    return peek(this.#socket, spoken, this.#mayTunnel ? TUNNEL_SILENCE : SILENCE);
  }

  /** Serves the flow to its end. */
  serve(first: Peeked<Spoken>): Promise<void> {
    // A policy may have come while the client kept silent: what it began under another one is nothing to build on.
    const { policy } = this.#context.gate();
    if (policy !== this.#policy) this.#verdict = this.#decideOpen(policy);
    if (!this.#verdict.allow && !mayShowName(this.#verdict)) return this.#opaque();
    if (first.kind === 'ended')
      return this.#refuse('no-bytes', null, 'the client sent nothing that can be read');
    if (first.kind !== 'judged') return this.#opaque();
    const { value } = first;
    if (value.kind === 'http') return this.#http();
    if (value.kind === 'tls') return this.#tls(value.hello);
    if (value.kind === 'fault') return this.#refuseHello(value.fault);
    // On HTTP's own port whatever is not TLS is meant as HTTP: the reader says in words what is wrong with it.
    if (this.#flow.target.port === HTTP_PORT && !this.#mayTunnel) return this.#http();
    return this.#opaque();
  }

  #decideOpen(policy: Policy | null): Verdict {
    return decide(policy, { ask: 'open', host: this.#flow.host, target: this.#flow.target });
  }

  get #mayTunnel(): boolean {
    return this.#verdict.allow && this.#verdict.via === 'tunnel';
  }

  #http(): Promise<void> {
    this.#trace.opened({ rule: this.#verdict.rule });
    this.#trace.note({ protocol: 'http' });
    return speakHttp(this.#socket, this.#flow, this.#context);
  }

  async #tls(hello: ClientHello): Promise<void> {
    const { serverName } = hello;
    if (serverName === null) return await this.#tlsWithoutName(hello);
    const target = this.#flow.target;
    const verdict = decide(this.#context.gate().policy, { ask: 'tls', host: serverName, target });
    this.#trace.opened(ruledBy(verdict));
    this.#trace.note({ host: serverName, protocol: 'tls' });
    if (!verdict.allow) {
      this.#trace.tlsRefused(serverName, verdict.reason, verdict.rule, verdict.hint);
      return this.#alert(ALERT.unrecognizedName);
    }
    const answer = await this.#context.script?.onTls?.({ sni: serverName, alpn: hello.alpn });
    if (answer?.kind === 'deny') {
      this.#trace.tlsRefused(serverName, answer.code, 'policy_script', answer.reason);
      return this.#alert(ALERT.unrecognizedName);
    }
    if (verdict.via === 'tunnel') {
      this.#trace.tlsDone(serverName, 'tls/passthrough');
      return await this.#tunnel(serverName, policy =>
        decide(policy, { ask: 'tls', host: serverName, target }),
      );
    }
    await speakTls(this.#socket, hello, serverName, this.#flow, this.#trace, this.#context);
  }

  /** Nothing names a host: the address alone is judged, and no secret has an address for its scope. */
  async #tlsWithoutName(hello: ClientHello): Promise<void> {
    const verdict = decide(this.#context.gate().policy, {
      ask: 'open',
      host: null,
      target: this.#flow.target,
    });
    this.#trace.opened(verdict.allow ? ruledBy(verdict) : { rule: this.#verdict.rule });
    this.#trace.note({ protocol: 'tls' });
    if (verdict.allow)
      return await speakTls(this.#socket, hello, null, this.#flow, this.#trace, this.#context);
    const hint = 'the handshake names no host (SNI); only an allow_cidr rule for the address could allow it';
    this.#trace.tlsRefused(this.#flow.target.address.text, 'no-server-name', verdict.rule, hint);
    this.#alert(ALERT.unrecognizedName);
  }

  async #opaque(): Promise<void> {
    const verdict = this.#verdict;
    if (!verdict.allow) return this.#refuse(verdict.reason, verdict.rule, verdict.hint);
    if (verdict.via === 'tunnel') {
      this.#trace.opened(ruledBy(verdict));
      return await this.#tunnel(this.#flow.host, policy => this.#decideOpen(policy));
    }
    const hint = 'the bytes are neither TLS nor HTTP; a rule that names the port lets opaque bytes pass';
    return this.#refuse('not-inspectable', verdict.rule, hint);
  }

  /** `decideAgain`: what let it in, asked of a policy that comes later. */
  async #tunnel(name: Hostname | null, decideAgain: (policy: Policy | null) => Verdict): Promise<void> {
    const { context, policy } = { context: this.#context, policy: this.#context.gate().policy };
    const { address, port } = this.#flow.target;
    const host: Host = name === null ? { kind: 'ip', address } : { kind: 'name', name };
    let endpoint: Endpoint | null = null;
    const stay = context.standing.enter(later => deniedTunnel(decideAgain, later, host, endpoint), policy);
    const abort = new AbortController();
    const stop = (): void => abort.abort();
    this.#socket.once('close', stop);
    stay.signal.addEventListener('abort', stop, { once: true });
    try {
      const { socket, dialled } = await context.upstream.openTunnel(
        {
          sandbox: context.sandbox,
          host,
          port,
          decideDial: (decided, asked) => decide(policy, { ask: 'dial', host: decided, endpoint: asked }),
          routes: policy?.proxy ?? null,
          pin: (name !== null && policy?.addHosts.get(name)) || null,
        },
        abort.signal,
      );
      this.#socket.off('close', stop);
      this.#trace.note({ destination: dialled });
      endpoint = policy?.proxy ? null : dialled;
      await splice(this.#socket, socket, stay.signal);
    } catch (error) {
      if (stay.denied === null) throw error;
      this.#trace.note({ fault: stay.denied.hint });
      throw new GatewayError('BLOCKED', stay.denied.hint);
    } finally {
      stay.leave();
    }
  }

  #refuse(reason: string, rule: string | null, hint: string): Promise<void> {
    this.#trace.refused(reason, rule, hint);
    reset(this.#socket);
    return DONE;
  }

  #refuseHello(fault: HelloFault): Promise<void> {
    this.#trace.opened({ rule: this.#verdict.rule });
    this.#trace.tlsRefused(
      this.#flow.target.address.text,
      fault,
      null,
      `the ClientHello is refused: ${fault}`,
    );
    this.#alert(alertOf(fault));
    return DONE;
  }

  #alert(alert: Alert): void {
    refuseTls(this.#socket, alert);
  }
}

/** A tunnel that would be inspected now is none any more. `endpoint`: what was dialled for it, if we dialled it. */
function deniedTunnel(
  decideAgain: (policy: Policy | null) => Verdict,
  policy: Policy | null,
  host: Host,
  endpoint: Endpoint | null,
): Deny | null {
  const verdict = decideAgain(policy);
  if (!verdict.allow) return verdict;
  if (verdict.via !== 'tunnel') return denied.inspected(verdict.rule, hostText(host));
  const dial = endpoint === null ? verdict : decide(policy, { ask: 'dial', host, endpoint });
  return dial.allow ? null : dial;
}

type Spoken =
  | { readonly kind: 'http' }
  | { readonly kind: 'tls'; readonly hello: ClientHello }
  | { readonly kind: 'fault'; readonly fault: HelloFault }
  | { readonly kind: 'opaque' };

function spoken(bytes: Buffer): Spoken | null {
  const sniffed = sniff(bytes);
  if (sniffed === 'incomplete') return null;
  if (sniffed !== 'tls') return { kind: sniffed };
  const hello = readClientHello(bytes);
  if (!hello.ok) return { kind: 'fault', fault: hello.error };
  return hello.value === 'incomplete' ? null : { kind: 'tls', hello: hello.value };
}

function reset(socket: Duplex): void {
  if ('resetAndDestroy' in socket && typeof socket.resetAndDestroy === 'function') socket.resetAndDestroy();
  else socket.destroy();
}

function bytesOf(socket: Duplex): { received: number; sent: number } {
  const { bytesRead = 0, bytesWritten = 0 } = socket as Duplex & {
    bytesRead?: number;
    bytesWritten?: number;
  };
  return { received: bytesRead, sent: bytesWritten };
}

/**
 * The evidence of one request: collects what is known as it becomes known, and emits exactly one terminal event.
 */
import { type Endpoint, endpointText } from '../core/address.js';
import { authorityText } from '../core/authority.js';
import { hostText } from '../core/host.js';
import type { NetworkEvent } from '../events/event.js';
import type { Flow } from '../net/flow.js';
import type { Leak } from '../secrets/scan.js';
import { emitNetwork, type ProxyContext } from './context.js';
import type { Exchange } from './exchange.js';
import type { Refusal } from './refusal.js';

/** What becomes known on the way, and stands in every event after it. */
interface Known {
  readonly rule?: string | null;
  /** Names of the secrets that went out. */
  readonly secrets?: readonly string[];
  /** As dialled. */
  readonly destination?: Endpoint;
}

type Terminal = 'request.done' | 'request.refused' | 'request.failed';

const VERSIONS = { '1.0': 'http/1.0', '1.1': 'http/1.1', '2': 'h2' } as const;

export class Trace {
  readonly #exchange: Exchange;
  readonly #flow: Flow;
  readonly #context: ProxyContext;
  readonly #id: string;
  readonly #startedMs: number;
  readonly #generation: number;
  #known: Known = {};
  #ended = false;

  constructor(exchange: Exchange, flow: Flow, context: ProxyContext) {
    this.#exchange = exchange;
    this.#flow = flow;
    this.#context = context;
    this.#id = context.nextRequestId();
    this.#startedMs = context.clock.monotonic();
    this.#generation = context.gate().policy?.generation ?? 0;
  }

  note(known: Known): void {
    this.#known = { ...this.#known, ...known };
  }

  /** Terminal: the upstream's answer went back. */
  done(status: number): void {
    this.#end('request.done', { decision: 'allow', status_code: status });
  }

  /** Terminal: the gateway said no. */
  refused({ status, hint, reason, rule }: Refusal): void {
    const denial = { decision: 'deny', blocked: true, block_reason: hint, reason, rule } as const;
    this.#end('request.refused', { ...denial, status_code: status });
  }

  /** Terminal: allowed, and it could not be done, or not to the end. `status` is 0 when no answer was begun. */
  failed(reason: string, message: string, status: number): void {
    this.#end('request.failed', { decision: 'allow', status_code: status, reason, block_reason: message });
  }

  /** Not terminal: a refusal follows. */
  leaked(leaks: readonly Leak[]): void {
    for (const { secret, place, encoding, reason } of leaks) {
      emitNetwork(this.#context, 'secret.leak', {
        ...this.#facts(),
        decision: 'deny',
        blocked: true,
        reason: 'secret-leak',
        block_reason: `a placeholder or value of ${secret} in ${place} (${encoding}, ${reason})`,
        secrets: [secret],
      });
    }
  }

  /** Not terminal: a placeholder goes out as it is. `secret` is null where nobody's is known. */
  left(secret: string | null, place: string): void {
    const secrets = secret === null ? [] : [secret];
    emitNetwork(this.#context, 'secret.left', {
      ...this.#facts(),
      decision: 'allow',
      reason: place,
      secrets,
    });
  }

  #end(type: Terminal, more: Partial<NetworkEvent> & Pick<NetworkEvent, 'decision'>): void {
    if (this.#ended) return;
    this.#ended = true;
    emitNetwork(this.#context, type, { ...this.#facts(), ...more });
  }

  #facts(): Omit<NetworkEvent, 'decision' | 'blocked' | 'reason' | 'status_code'> {
    const { head } = this.#exchange.request;
    const { authority } = head;
    const { rule = null, secrets = [], destination } = this.#known;
    return {
      layer: head.upgrade === 'websocket' ? 'websocket' : 'http',
      flow: this.#flow.id,
      request: this.#id,
      method: head.method,
      url: `${authority.scheme}://${authorityText(authority)}${head.path}`,
      host: hostText(authority.host),
      port: authority.port,
      request_bytes: this.#exchange.bytes.received,
      response_bytes: this.#exchange.bytes.sent,
      duration_ms: Math.round(this.#context.clock.monotonic() - this.#startedMs),
      rule,
      destination: destination === undefined ? null : endpointText(destination),
      protocol: VERSIONS[head.version],
      secrets,
      generation: this.#generation,
    };
  }
}

/**
 * Events to a collector of OpenTelemetry: logs and traces, as JSON over HTTP (OTLP 1.x).
 *
 * Pure but for what it posts with. The SDK's transformer writes the messages; its exporters would drop what they cannot
 * deliver, so the delivery is ours. A batch whose logs arrived and whose traces did not sends the traces alone again.
 */
import { JsonLogsSerializer, JsonTraceSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { Clock } from '../core/clock.js';
import { err, ok, type Result } from '../core/result.js';
import type { Event } from '../events/event.js';
import type { DeliveryFault, Transport } from './delivery.js';
import { logOf } from './otel-logs.js';
import { type SpanFacts, spansOf } from './otel-spans.js';
import { type Answer, createPoster, type Poster, type PosterOptions, verdictOf } from './post.js';
import { idempotencyKey } from './webhook.js';

export type Signal = 'logs' | 'traces';

export interface OtlpOptions extends Omit<PosterOptions, 'url'> {
  /** Of the collector; `/v1/logs` and `/v1/traces` are put behind its path. */
  readonly url: URL;
  readonly signals: readonly Signal[];
  readonly serviceName: string;
  readonly version: string;
  readonly encode: (event: Event) => string;
  readonly clock: Clock;
}

export function createOtlp(options: OtlpOptions): Transport {
  return new OtlpTransport(options);
}

class OtlpTransport implements Transport {
  readonly #options: OtlpOptions;
  readonly #posters: ReadonlyMap<Signal, Poster>;
  readonly #facts: Omit<SpanFacts, 'resource'>;
  /** Of the batch that is tried: what has arrived. */
  #arrived = { key: '', signals: new Set<Signal>() };

  constructor(options: OtlpOptions) {
    this.#options = options;
    this.#facts = { scope: { name: 'sallyport', version: options.version } };
    this.#posters = new Map(
      options.signals.map(signal => [
        signal,
        createPoster({ ...options, url: endpointOf(options.url, signal) }),
      ]),
    );
  }

  async deliver(batch: readonly Event[], abort: AbortSignal): Promise<Result<void, DeliveryFault>> {
    const key = idempotencyKey(batch);
    if (this.#arrived.key !== key) this.#arrived = { key, signals: new Set() };
    for (const [signal, poster] of this.#posters) {
      if (this.#arrived.signals.has(signal)) continue;
      const body = this.#body(signal, batch);
      if (body !== null) {
        const sent = await poster.send(body, { 'content-type': 'application/json' }, abort);
        const verdict = sent.ok ? this.#verdict(sent.value) : sent;
        if (!verdict.ok) return verdict;
      }
      this.#arrived.signals.add(signal);
    }
    return ok(undefined);
  }

  async close(): Promise<void> {
    for (const poster of this.#posters.values()) poster.close();
  }

  #body(signal: Signal, batch: readonly Event[]): Uint8Array | null {
    const { serviceName, version, encode } = this.#options;
    const resource = resourceFromAttributes({
      'service.name': serviceName,
      'service.version': version,
      'service.instance.id': batch[0]?.gateway_id ?? '',
    });
    const facts = { ...this.#facts, resource };
    if (signal === 'logs') {
      return JsonLogsSerializer.serializeRequest(batch.map(event => logOf(event, facts, encode))) ?? null;
    }
    const spans = batch.flatMap(event => spansOf(event, facts));
    return spans.length === 0 ? null : (JsonTraceSerializer.serializeRequest(spans) ?? null);
  }

  #verdict(answer: Answer): Result<void, DeliveryFault> {
    const verdict = verdictOf(answer, this.#options.clock.now());
    const rejected = verdict.ok ? rejectedIn(answer.text) : 0;
    return rejected > 0 ? err({ message: `it rejected ${rejected} records`, final: true }) : verdict;
  }
}

function endpointOf(url: URL, signal: Signal): URL {
  const endpoint = new URL(url);
  endpoint.pathname = `${url.pathname.replace(/\/$/, '')}/v1/${signal}`;
  return endpoint;
}

/** `partialSuccess`: what was rejected must not be sent again as it is (OTLP, Partial Success). */
function rejectedIn(text: string): number {
  try {
    const answer: unknown = JSON.parse(text);
    if (typeof answer !== 'object' || answer === null || !('partialSuccess' in answer)) return 0;
    const partial = new Map<string, unknown>(Object.entries(answer.partialSuccess ?? {}));
    return Number(partial.get('rejectedLogRecords') ?? partial.get('rejectedSpans') ?? 0) || 0;
  } catch {
    // An answer without content, or in another form: its status has said it all.
    return 0;
  }
}

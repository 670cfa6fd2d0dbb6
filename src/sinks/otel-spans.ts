/**
 * A request as a trace of OpenTelemetry: one span for the whole, one for each phase that happened. Pure.
 *
 * An event says how long each phase took, not when it began: they are laid one after another from the beginning, and
 * what is left of the whole is the content's way back.
 */
import { type Attributes, type HrTime, SpanKind, SpanStatusCode } from '@opentelemetry/api';
import type { ISerializer, JsonTraceSerializer } from '@opentelemetry/otlp-transformer';
import type { Resource } from '@opentelemetry/resources';
import { cut, URL_LIMIT } from '../events/encode.js';
import type { Event, NetworkEvent } from '../events/event.js';
import { parseTraceParent, spanIdOf, traceIdOf } from './otel-ids.js';

/** The SDK's own, by way of what writes it. */
export type Span = typeof JsonTraceSerializer extends ISerializer<readonly (infer S)[], infer _> ? S : never;

export interface Scope {
  readonly name: string;
  readonly version: string;
}

export interface SpanFacts {
  readonly resource: Resource;
  readonly scope: Scope;
}

/** The spans of an event that ends a request; of any other, none. */
export function spansOf(event: Event, facts: SpanFacts): readonly Span[] {
  const { type, network } = event;
  if (network === undefined || !TERMINAL.has(type)) return [];
  const parent = parseTraceParent(network.traceparent);
  const traceId = parent?.traceId ?? traceIdOf(event);
  const totalMs = network.timings?.total_ms ?? network.duration_ms;
  const startMs = event.timestamp - totalMs;
  const make = spanMaker(traceId, facts);
  const root = make({
    name: network.method === '' ? 'HTTP' : cut(network.method, 32),
    kind: SpanKind.SERVER,
    spanId: spanIdOf(event),
    parentSpanId: parent?.spanId ?? null,
    startMs,
    endMs: event.timestamp,
    attributes: attributesOf(event, network),
    failure: type === 'request.done' ? null : (network.reason ?? 'unknown'),
  });
  const phases = phasesOf(network, totalMs).map(({ name, fromMs, toMs }) =>
    make({
      name,
      kind: name === 'receive' || name === 'wait' ? SpanKind.INTERNAL : SpanKind.CLIENT,
      spanId: spanIdOf(event, name),
      parentSpanId: spanIdOf(event),
      startMs: startMs + fromMs,
      endMs: startMs + toMs,
      attributes: {},
      failure: null,
    }),
  );
  return [root, ...phases];
}

const TERMINAL: ReadonlySet<Event['type']> = new Set<Event['type']>([
  'request.done',
  'request.refused',
  'request.failed',
]);

interface Draft {
  readonly name: string;
  readonly kind: SpanKind;
  readonly spanId: string;
  readonly parentSpanId: string | null;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  /** A code; null: none. */
  readonly failure: string | null;
}

const SAMPLED = 1;

function spanMaker(traceId: string, { resource, scope }: SpanFacts): (draft: Draft) => Span {
  return ({ name, kind, spanId, parentSpanId, startMs, endMs, attributes, failure }) => ({
    name,
    kind,
    spanContext: () => ({ traceId, spanId, traceFlags: SAMPLED }),
    ...(parentSpanId !== null && {
      parentSpanContext: { traceId, spanId: parentSpanId, traceFlags: SAMPLED, isRemote: true },
    }),
    startTime: hrTime(startMs),
    endTime: hrTime(endMs),
    duration: hrTime(endMs - startMs),
    status:
      failure === null ? { code: SpanStatusCode.UNSET } : { code: SpanStatusCode.ERROR, message: failure },
    attributes,
    links: [],
    events: [],
    ended: true,
    resource,
    instrumentationScope: scope,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  });
}

interface Phase {
  readonly name: string;
  readonly fromMs: number;
  readonly toMs: number;
}

function phasesOf({ timings }: NetworkEvent, totalMs: number): readonly Phase[] {
  if (timings === undefined) return [];
  const lengths = [
    ['dns', timings.dns_ms],
    ['connect', timings.connect_ms],
    ['tls', timings.tls_ms],
    ['wait', timings.first_byte_ms],
  ] as const;
  let at = 0;
  const phases: Phase[] = [];
  for (const [name, ms] of lengths) {
    if (ms === null) continue;
    const toMs = Math.min(totalMs, at + ms);
    phases.push({ name, fromMs: at, toMs });
    at = toMs;
  }
  return timings.first_byte_ms === null
    ? phases
    : [...phases, { name: 'receive', fromMs: at, toMs: totalMs }];
}

/** Names of the semantic conventions where there are some (HTTP, 1.23 and later); the rest under our own. */
export function attributesOf(event: Event, network: NetworkEvent): Attributes {
  const { protocol, status_code, method, url, host, port, reason, rule } = network;
  const version = /^http\/(.+)$/.exec(protocol)?.[1] ?? (protocol === 'h2' ? '2' : null);
  return {
    ...(method !== '' && { 'http.request.method': cut(method) }),
    ...(url !== '' && { 'url.full': cut(url, URL_LIMIT) }),
    ...(host !== '' && { 'server.address': cut(host) }),
    ...(port !== 0 && { 'server.port': port }),
    ...(status_code !== 0 && { 'http.response.status_code': status_code }),
    ...(version !== null && { 'network.protocol.name': 'http', 'network.protocol.version': version }),
    ...(network.destination !== null && { 'network.peer.address': network.destination }),
    'http.request.size': network.request_bytes,
    'http.response.size': network.response_bytes,
    ...(reason !== null && { 'error.type': cut(reason) }),
    'sallyport.event.id': event.id,
    'sallyport.layer': network.layer,
    'sallyport.decision': network.decision,
    'sallyport.generation': network.generation,
    ...(event.sandbox !== null && { 'sallyport.sandbox': cut(event.sandbox) }),
    ...(rule !== null && { 'sallyport.rule': cut(rule) }),
    ...(network.flow !== null && { 'sallyport.flow': network.flow }),
    ...(network.request !== null && { 'sallyport.request': network.request }),
    ...(network.secrets.length > 0 && { 'sallyport.secrets': network.secrets.map(name => cut(name)) }),
  };
}

/** Seconds and nanoseconds. */
export function hrTime(ms: number): HrTime {
  const whole = Math.max(0, ms);
  const seconds = Math.floor(whole / 1_000);
  return [seconds, Math.round((whole - seconds * 1_000) * 1e6)];
}

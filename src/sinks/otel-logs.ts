/** Any event as a log record of OpenTelemetry: the line of the event log as its body, what it says as attributes. Pure. */
import type { Attributes } from '@opentelemetry/api';
import type { ISerializer, JsonLogsSerializer } from '@opentelemetry/otlp-transformer';
import { isDenial } from '../events/denial.js';
import { cut } from '../events/encode.js';
import type { Event } from '../events/event.js';
import { parseTraceParent, spanIdOf, traceIdOf } from './otel-ids.js';
import { attributesOf, hrTime, type SpanFacts } from './otel-spans.js';

/** The SDK's own, by way of what writes it. */
export type LogRecord =
  typeof JsonLogsSerializer extends ISerializer<readonly (infer L)[], infer _> ? L : never;

const INFO = 9;
const WARN = 13;
const ERROR = 17;

const SEVERITY: ReadonlyMap<number, string> = new Map([
  [INFO, 'INFO'],
  [WARN, 'WARN'],
  [ERROR, 'ERROR'],
]);

export function logOf(event: Event, facts: SpanFacts, encode: (event: Event) => string): LogRecord {
  const severityNumber = severityOf(event);
  const severityText = SEVERITY.get(severityNumber) ?? '';
  const { network } = event;
  // A record of a request leads to its span.
  const spanContext =
    network?.request == null
      ? {}
      : {
          spanContext: {
            traceId: parseTraceParent(network.traceparent)?.traceId ?? traceIdOf(event),
            spanId: spanIdOf(event),
            traceFlags: 1,
          },
        };
  return {
    hrTime: hrTime(event.timestamp),
    hrTimeObserved: hrTime(event.timestamp),
    severityNumber,
    severityText,
    eventName: `sallyport.${event.type}`,
    body: encode(event).trimEnd(),
    ...spanContext,
    attributes: logAttributes(event),
    resource: facts.resource,
    instrumentationScope: facts.scope,
    droppedAttributesCount: 0,
  };
}

function logAttributes(event: Event): Attributes {
  const { id, seq, sandbox, network, exec, gateway } = event;
  if (network !== undefined) return { ...attributesOf(event, network), 'sallyport.event.seq': seq };
  return {
    'sallyport.event.id': id,
    'sallyport.event.seq': seq,
    ...(sandbox !== null && { 'sallyport.sandbox': cut(sandbox) }),
    ...(exec && { 'process.command_args': exec.command.slice(0, MAX_ARGUMENTS).map(word => cut(word)) }),
    ...(exec && exec.exit_code !== null && { 'process.exit.code': exec.exit_code }),
    ...(gateway && { 'sallyport.message': cut(gateway.message) }),
  };
}

const MAX_ARGUMENTS = 64;

function severityOf(event: Event): number {
  if (event.type === 'secret.leak' || event.type === 'sandbox.stopped') return ERROR;
  const loss =
    event.type === 'gateway.dropped' || event.type === 'secret.lost' || event.type === 'policy.refused';
  return loss || isDenial(event) || event.type === 'request.failed' ? WARN : INFO;
}

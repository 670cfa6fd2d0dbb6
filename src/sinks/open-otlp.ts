/** A sink of OpenTelemetry as its settings say. */
import type { Sink } from '../events/feeder.js';
import { encoderOf } from './format.js';
import type { Surroundings } from './open.js';
import { deliver, posterSettings } from './open-webhook.js';
import { createOtlp } from './otlp.js';
import type { SinkOf } from './schema.js';

export async function openOtlp(sink: SinkOf<'otlp'>, around: Surroundings): Promise<Sink> {
  const transport = createOtlp({
    ...(await posterSettings(sink, around)),
    signals: sink.signals ?? ['logs', 'traces'],
    serviceName: sink.service_name ?? 'sallyport',
    version: around.version,
    encode: encoderOf(sink.format, around),
    clock: around.clock,
  });
  return await deliver(sink, transport, around);
}

/** A sink of syslog as its settings say. A shell: the host's name. */
import { hostname } from 'node:os';
import type { Sink } from '../events/feeder.js';
import { encoderOf } from './format.js';
import type { Surroundings } from './open.js';
import { deliver } from './open-webhook.js';
import type { SinkOf } from './schema.js';
import { createSyslog } from './syslog.js';

/** RFC 5425 §4.1. */
const PORT = 6_514;

/** `local0` (RFC 5424 §6.2.1). */
const FACILITY = 16;

export async function openSyslog(sink: SinkOf<'syslog'>, around: Surroundings): Promise<Sink> {
  const url = new URL(sink.url);
  const transport = createSyslog({
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? PORT : Number(url.port),
    secureContext: await around.contextFor(sink.ca === undefined ? [] : [sink.ca]),
    hostname: hostname(),
    appName: sink.app_name ?? 'sallyport',
    facility: sink.facility ?? FACILITY,
    encode: encoderOf(sink.format, around),
  });
  return await deliver(sink, transport, around);
}

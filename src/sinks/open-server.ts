/** The event server as its settings say. */
import { GatewayError } from '../core/errors.js';
import type { Sink } from '../events/feeder.js';
import { filterOf, ms } from './document.js';
import { encoderOf } from './format.js';
import type { Surroundings } from './open.js';
import { credential } from './open-webhook.js';
import type { SinkOf } from './schema.js';
import { openEventServer } from './server.js';
import { parseListen } from './values.js';

const RING_EVENTS = 10_000;
const RING_BYTES = 64 * 1024 * 1024;
const READERS = 32;
const STALL_MS = 60_000;
const BEAT_MS = 15_000;

export async function openServer(sink: SinkOf<'server'>, around: Surroundings): Promise<Sink> {
  const listen = parseListen(sink.listen);
  // The schema has read it before.
  if (!listen.ok) throw new GatewayError('CONFIG_INVALID', listen.error);
  return await openEventServer({
    name: around.name,
    listen: listen.value,
    token: sink.token_from === undefined ? null : await credential(sink.token_from, around.env),
    filter: filterOf(sink),
    encode: encoderOf(sink.format, around),
    ring: { events: sink.ring ?? RING_EVENTS, bytes: RING_BYTES },
    readers: sink.readers ?? READERS,
    stallMs: ms(sink.stall, STALL_MS),
    beatMs: BEAT_MS,
  });
}

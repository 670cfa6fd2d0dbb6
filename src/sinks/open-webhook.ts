/** A webhook as its settings say, with what every deliverer has. */
import { GatewayError } from '../core/errors.js';
import type { Sink } from '../events/feeder.js';
import { readCredential } from './credentials.js';
import { type DeadLetters, openDeadLetters } from './dead-letters.js';
import { Delivery, type Transport } from './delivery.js';
import { deliverySettings } from './document.js';
import { encoderOf } from './format.js';
import type { Surroundings } from './open.js';
import type { CredentialInput, SinkOf } from './schema.js';
import { parseSize } from './values.js';
import { createWebhook } from './webhook.js';

export async function openWebhook(sink: SinkOf<'webhook'>, around: Surroundings): Promise<Sink> {
  const { env, clock, idOf } = around;
  const url = new URL(sink.url);
  const secret = sink.secret_from === undefined ? null : await credential(sink.secret_from, env);
  const headers = new Map<string, string>();
  for (const [name, from] of Object.entries(sink.headers ?? {})) {
    headers.set(name.toLowerCase(), await credential(from, env));
  }
  const secureContext =
    url.protocol === 'https:'
      ? { secureContext: await around.contextFor(sink.ca === undefined ? [] : [sink.ca]) }
      : {};
  const encode = encoderOf(sink.format, around);
  const transport = createWebhook({ url, encode, idOf, secret, headers, clock, ...secureContext });
  return await deliver(sink, transport, around);
}

type DeliverySink = Parameters<typeof deliverySettings>[0] & Pick<SinkOf<'webhook'>, 'dead_letter'>;

/** Settles what every deliverer has: attempts, batches, dead letters. */
export async function deliver(
  sink: DeliverySink,
  transport: Transport,
  { name, clock, onTrouble }: Surroundings,
): Promise<Delivery> {
  const deadLetters = await lettersOf(sink.dead_letter);
  return new Delivery({ settings: deliverySettings(sink, name), transport, deadLetters, clock, onTrouble });
}

const DEAD_LETTER_BYTES = 256 * 1024 * 1024;

async function lettersOf(settings: SinkOf<'webhook'>['dead_letter']): Promise<DeadLetters | null> {
  if (settings === undefined) return null;
  const size = settings.size === undefined ? null : parseSize(settings.size);
  return await openDeadLetters(settings.file, size?.ok ? size.value : DEAD_LETTER_BYTES);
}

/** Throws `CONFIG_INVALID`: a sink without its credential is none. */
export async function credential(from: CredentialInput, env: Surroundings['env']): Promise<string> {
  const value = await readCredential(from, env);
  if (!value.ok) throw new GatewayError('CONFIG_INVALID', value.error);
  return value.value;
}

/** A webhook as its settings say, with what every deliverer has. */
import { GatewayError } from '../core/errors.js';
import type { Sink } from '../events/feeder.js';
import { readCredential } from './credentials.js';
import { type DeadLetters, openDeadLetters } from './dead-letters.js';
import { Delivery, type Transport } from './delivery.js';
import { deliverySettings } from './document.js';
import { encoderOf } from './format.js';
import type { Surroundings } from './open.js';
import type { PosterOptions } from './post.js';
import type { CredentialInput, SinkOf } from './schema.js';
import { parseSize } from './values.js';
import { createWebhook } from './webhook.js';

export async function openWebhook(sink: SinkOf<'webhook'>, around: Surroundings): Promise<Sink> {
  const { env, clock } = around;
  const secret = sink.secret_from === undefined ? null : await credential(sink.secret_from, env);
  const encode = encoderOf(sink.format, around);
  const transport = createWebhook({ ...(await posterSettings(sink, around)), encode, secret, clock });
  return await deliver(sink, transport, around);
}

/** Where to post, with which headers, and whom to believe there. */
export async function posterSettings(
  { url: text, headers, ca }: Pick<SinkOf<'webhook'>, 'url' | 'headers' | 'ca'>,
  { env, contextFor }: Surroundings,
): Promise<PosterOptions> {
  const url = new URL(text);
  const values = new Map<string, string>();
  for (const [name, from] of Object.entries(headers ?? {})) {
    values.set(name.toLowerCase(), await credential(from, env));
  }
  const context =
    url.protocol === 'https:' ? { secureContext: await contextFor(ca === undefined ? [] : [ca]) } : {};
  return { url, headers: values, ...context };
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

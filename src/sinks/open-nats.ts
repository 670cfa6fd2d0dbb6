/** A sink of NATS JetStream as its settings say. */
import { GatewayError } from '../core/errors.js';
import type { Sink } from '../events/feeder.js';
import { readPrivate } from './credentials.js';
import { deliverySettings, ms } from './document.js';
import { encoderOf } from './format.js';
import { createNats, type NatsLogin, type NatsStream } from './nats.js';
import type { Surroundings } from './open.js';
import { credential, deliver } from './open-webhook.js';
import type { SinkOf } from './schema.js';

const SUBJECT = 'sallyport.events';
const DUPLICATE_WINDOW_MS = 3_600_000;

export async function openNats(sink: SinkOf<'nats'>, around: Surroundings): Promise<Sink> {
  const url = new URL(sink.url);
  const context =
    url.protocol === 'tls:'
      ? { secureContext: await around.contextFor(sink.ca === undefined ? [] : [sink.ca]) }
      : {};
  const transport = createNats({
    url,
    subject: sink.subject ?? SUBJECT,
    stream: streamOf(sink),
    login: await loginOf(sink, around.env),
    encode: encoderOf(sink.format, around),
    timeoutMs: deliverySettings(sink, around.name).timeoutMs,
    ...context,
  });
  return await deliver(sink, transport, around);
}

function streamOf({ stream }: SinkOf<'nats'>): NatsStream | null {
  if (stream === undefined) return null;
  const { name, create = false, duplicate_window } = stream;
  return { name, create: create ? { duplicateWindowMs: ms(duplicate_window, DUPLICATE_WINDOW_MS) } : null };
}

async function loginOf(sink: SinkOf<'nats'>, env: Surroundings['env']): Promise<NatsLogin | null> {
  const { token_from, user, password_from, creds_file } = sink;
  if (token_from !== undefined) return { kind: 'token', token: await credential(token_from, env) };
  if (user !== undefined && password_from !== undefined) {
    return { kind: 'user', user, password: await credential(password_from, env) };
  }
  if (creds_file === undefined) return null;
  const text = await readPrivate(creds_file);
  if (!text.ok) throw new GatewayError('CONFIG_INVALID', text.error);
  return { kind: 'creds', text: text.value };
}

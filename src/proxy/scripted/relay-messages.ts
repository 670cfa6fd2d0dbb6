/**
 * A WebSocket that a script listens to: every message is held until the script has passed it. Both ways at once, each
 * in its order; what is no WebSocket ends the connection (RFC 6455 §7.1.7).
 */
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { GatewayError } from '../../core/errors.js';
import type { Denial, Hook, MessageAnswer, MessageFacts, RequestFacts } from '../../policy/hooks.js';
import { closePayload, emitFrame, OPCODE } from '../websocket/frames.js';
import { type Incoming, MessageReader } from '../websocket/messages.js';
import { MESSAGE_BYTES } from './ask-answer.js';

export interface Listened {
  readonly sandbox: Duplex;
  readonly upstream: Duplex;
  readonly hook: NonNullable<Hook<MessageFacts, MessageAnswer>>;
  readonly request: RequestFacts;
  readonly signal: AbortSignal;
}

/** How long a peer that does not read may keep a refused connection open. */
const GOODBYE_MS = 1_000;

const PROTOCOL_ERROR = 1002;
const POLICY_VIOLATION = 1008;

/** Four bytes that mask our own close frame: its content is no secret and nobody's input (RFC 6455 §10.3). */
const OWN_MASK = Uint8Array.of(0x5a, 0x11, 0x9a, 0x07);

/** Relays until both sides have ended; the denial that ended it, or null. Rejects when a side fails. */
export async function relayMessages(listened: Listened): Promise<Denial | null> {
  const { sandbox, upstream, signal } = listened;
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const abort = (): void => {
    sandbox.destroy();
    upstream.destroy();
  };
  both.addEventListener('abort', abort, { once: true });
  try {
    await Promise.all([pump(listened, 'sent', both), pump(listened, 'received', both)]);
    return null;
  } catch (error) {
    const denial = error instanceof Denied ? error.denial : null;
    if (error instanceof Denied) await sayGoodbye(listened, POLICY_VIOLATION);
    else if (error instanceof GatewayError) await sayGoodbye(listened, PROTOCOL_ERROR);
    if (denial === null) throw error;
    return denial;
  } finally {
    both.removeEventListener('abort', abort);
    abort();
  }
}

class Denied extends Error {
  readonly denial: Denial;

  constructor(denial: Denial) {
    super(denial.reason);
    this.denial = denial;
  }
}

type Direction = MessageFacts['direction'];

async function pump(listened: Listened, direction: Direction, signal: AbortSignal): Promise<void> {
  const isSent = direction === 'sent';
  const from = isSent ? listened.sandbox : listened.upstream;
  const to = isSent ? listened.upstream : listened.sandbox;
  const reader = new MessageReader({ masked: isSent, maxBytes: MESSAGE_BYTES });
  const code = isSent ? 'CLIENT_PROTOCOL' : 'UPSTREAM_PROTOCOL';
  for await (const chunk of from.iterator({ destroyOnReturn: false })) {
    const { messages, fault } = reader.push(chunk as Uint8Array);
    for (const message of messages) await pass(message, to, listened, direction, signal);
    if (fault !== null) throw new GatewayError(code, `the bytes are no WebSocket: ${fault}`);
  }
  if (!reader.atRest) throw new GatewayError(code, 'the WebSocket ended within a message');
  to.end();
}

async function pass(
  message: Incoming,
  to: Duplex,
  { hook, request }: Listened,
  direction: Direction,
  signal: AbortSignal,
): Promise<void> {
  if (message.kind !== 'control') {
    const { kind, text, bytes } = message;
    const answer = await hook({ direction, kind, text, bytes, request });
    if (answer.kind === 'deny') throw new Denied(answer);
  }
  for (const raw of message.raw) {
    if (!to.write(raw) && !to.destroyed) await once(to, 'drain', { signal });
  }
}

/** A close frame to both, as far as they still listen. The sandbox is not told more than that a policy said no. */
async function sayGoodbye({ sandbox, upstream }: Listened, code: number): Promise<void> {
  const payload = closePayload(code, code === POLICY_VIOLATION ? 'refused by policy' : '');
  const frame = { fin: true, opcode: OPCODE.close, payload };
  await Promise.all([ended(sandbox, emitFrame(frame, null)), ended(upstream, emitFrame(frame, OWN_MASK))]);
}

/** Resolves once the bytes are out of our hands, or it is clear that nobody takes them. */
function ended(stream: Duplex, bytes: Uint8Array): Promise<void> {
  return new Promise(resolve => {
    if (stream.destroyed || stream.writableEnded) return resolve();
    const timer = setTimeout(resolve, GOODBYE_MS);
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    stream.once('close', done);
    stream.end(bytes, done);
  });
}

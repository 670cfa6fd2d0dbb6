/**
 * The two doors of the DNS room: datagrams, and messages framed over a stream (RFC 1035 §4.2, RFC 7766).
 *
 * A shell. What a sandbox may keep waiting here is bounded: so many questions at a time over UDP, so many
 * connections and one question after the other over TCP, each message of a few hundred bytes and whole within the idle time.
 */
import type { Socket } from 'node:dgram';
import type { Duplex } from 'node:stream';
import { debuglog } from 'node:util';
import { errorCode } from '../core/errors.js';
import { frameMessage, messageLength, takeMessage } from './framing.js';
import type { DnsRoom } from './room.js';

const debug = debuglog('gateway:dns');

/** Header, one question of 255 bytes of name, one OPT with some padding (RFC 8467 pads queries to 128). */
const MAX_QUERY_BYTES = 1024;
const MAX_WAITING_DATAGRAMS = 256;
const IDLE_MS = 10_000;

export interface Served {
  /** Stops answering and abandons look-ups. The socket itself stays its owner's. */
  close(): void;
}

/** Answers each datagram to where it came from. A send that fails is the sandbox's loss alone. */
export function serveDnsUdp(socket: Socket, room: DnsRoom): Served {
  const stop = new AbortController();
  let waiting = 0;

  const answer = async (packet: Uint8Array, port: number, address: string): Promise<void> => {
    waiting += 1;
    try {
      const reply = await room.answer(packet, 'udp', stop.signal);
      if (reply !== null && !stop.signal.aborted) socket.send(reply, port, address, onSent);
    } catch (error) {
      // The socket was closed between question and answer.
      debug('udp answer lost: %s', errorCode(error));
    } finally {
      waiting -= 1;
    }
  };
  const onMessage = (packet: Buffer, { port, address }: { port: number; address: string }): void => {
    // A resolver that gets no answer asks again; a queue without end would only answer what nobody waits for.
    if (waiting < MAX_WAITING_DATAGRAMS) void answer(packet, port, address);
  };
  const onError = (error: Error): void => debug('udp socket: %s', errorCode(error));
  socket.on('message', onMessage);
  socket.on('error', onError);
  return {
    close: () => {
      stop.abort();
      socket.off('message', onMessage);
    },
  };
}

/** Answers the messages of one connection in order and ends it: at a wrong one, when idle, when the peer ends. */
export function serveDnsTcp(stream: Duplex, room: DnsRoom, idleMs = IDLE_MS): Served {
  const stop = new AbortController();
  const close = (): void => {
    stop.abort();
    stream.destroy();
  };
  const leave = room.admitStream();
  if (leave === null) {
    close();
    return { close };
  }
  stream.once('close', () => {
    stop.abort();
    leave();
  });
  void answerAll(stream, room, stop.signal, idleMs)
    .catch((error: unknown) => debug('tcp connection lost: %s', errorCode(error)))
    .finally(close);
  return { close };
}

async function answerAll(stream: Duplex, room: DnsRoom, signal: AbortSignal, idleMs: number): Promise<void> {
  // Runs from answer to answer: bytes that trickle in do not put it off.
  const idle = setTimeout(() => stream.destroy(), idleMs);
  try {
    let received: Buffer = Buffer.alloc(0);
    for await (const bytes of stream) {
      received = Buffer.concat([received, bytes as Buffer]);
      for (let message = takeMessage(received); message !== null; message = takeMessage(received)) {
        received = received.subarray(2 + message.length);
        if (!(await answerOne(stream, room, message, signal))) return;
        idle.refresh();
      }
      if (!isPlausible(received)) return;
    }
  } finally {
    clearTimeout(idle);
  }
}

/** False: close. A message that gets no answer is no DNS. */
async function answerOne(
  stream: Duplex,
  room: DnsRoom,
  message: Uint8Array,
  signal: AbortSignal,
): Promise<boolean> {
  if (message.length === 0 || message.length > MAX_QUERY_BYTES) return false;
  const reply = await room.answer(message, 'tcp', signal);
  if (reply === null || stream.destroyed) return false;
  await written(stream, frameMessage(reply));
  return true;
}

/** Whether what was received can still become a message: an impossible length is not waited for. */
function isPlausible(received: Uint8Array): boolean {
  const length = messageLength(received);
  return length === null || (length > 0 && length <= MAX_QUERY_BYTES);
}

function written(stream: Duplex, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(bytes, error => (error ? reject(error) : resolve()));
  });
}

function onSent(error: Error | null): void {
  if (error !== null) debug('udp send: %s', errorCode(error));
}

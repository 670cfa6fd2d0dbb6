/**
 * Reads of TLS sockets into one buffer for all of them (shell: a socket's handle).
 *
 * A read of Node's makes a buffer of its own, external to the heap, and passes it through the machinery of a stream: a
 * tenth of a request. What is done here is `onread` of `net.Socket`, which Node gives to sockets that it connects itself
 * and not to those that it is given. Measured, and why by these names: docs/decisions/0066.
 */
import { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** As much as one record holds (RFC 8446 §5.1), and as Node takes from OpenSSL at a time. */
const RECORD_BYTES = 16_384;
/** Bytes are in it from a read to the call that copies them, and nothing runs between the two. */
const shared = Buffer.allocUnsafeSlow(RECORD_BYTES);

/** What a socket reads into while it has content on its way: four times what is passed on as one piece of it. */
const SLAB_BYTES = 262_144;
/** So many full records after one another are content: with less, a slab would cost more than copying. */
const FULL_RECORDS = 4;
/** Sockets with a slab of their own: 8 MiB, whatever sandboxes leave unfinished. The others go on copying. */
const MOST_SLABS = 32;
const slabs = new Set<Reads>();

/** Where a socket of this Node keeps its `onread`; null: somewhere else. */
const onread = fieldsOf(new Socket());

interface OnreadFields {
  readonly buffer: symbol;
  readonly callback: symbol;
  readonly nextBuffer: symbol;
}

function fieldsOf(socket: Socket): OnreadFields | null {
  const named = (name: string): symbol | undefined =>
    Object.getOwnPropertySymbols(socket).find(symbol => symbol.description === name);
  const buffer = named('kBuffer');
  const callback = named('kBufferCb');
  const nextBuffer = named('kBufferGen');
  if (buffer === undefined || callback === undefined || nextBuffer === undefined) return null;
  return { buffer, callback, nextBuffer };
}

/**
 * From now on `socket` emits its bytes as before, in order, each chunk its receiver's to keep, without a stream's work
 * for each. False where this Node has no such way: then nothing was changed.
 */
export function readIntoShared(socket: TLSSocket): boolean {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (onread === null || !isReadInto(handle)) return false;
  const reads = new Reads(socket);
  Reflect.set(socket, onread.buffer, shared);
  Reflect.set(socket, onread.callback, reads.take);
  Reflect.set(socket, onread.nextBuffer, reads.next);
  handle.useUserBuffer(shared);
  return true;
}

interface ReadInto {
  useUserBuffer(buffer: Uint8Array): void;
}

function isReadInto(handle: unknown): handle is ReadInto {
  return (
    typeof handle === 'object' &&
    handle !== null &&
    'useUserBuffer' in handle &&
    typeof handle.useUserBuffer === 'function'
  );
}

/**
 * What one socket reads into. Full records are followed by more of the same: the next ones go where nobody else reads, one
 * behind the other, so that neither keeping nor joining them copies anything. A shorter one ends that.
 */
class Reads {
  readonly #socket: TLSSocket;
  /** Null: it reads into what is everybody's. */
  #slab: Buffer | null = null;
  /** How much of the slab was given to reads, the next one's included. */
  #given = 0;
  /** Full records after one another. */
  #full = 0;

  constructor(socket: TLSSocket) {
    this.#socket = socket;
  }

  get isOver(): boolean {
    return this.#socket.destroyed;
  }

  /** Like a flowing stream: to its listeners where some are there and nothing waits before it, else it waits. */
  readonly take = (length: number, buffer: Buffer): boolean => {
    const socket = this.#socket;
    const chunk = buffer === shared ? copyOf(buffer, length) : buffer.subarray(0, length);
    this.#full = length === RECORD_BYTES ? this.#full + 1 : 0;
    if (socket.readableFlowing !== true || socket.readableLength > 0 || socket.listenerCount('data') === 0)
      return socket.push(chunk);
    socket.emit('data', chunk);
    return true;
  };

  /** What the next read goes into; undefined: the same as this one's. */
  readonly next = (): Buffer | undefined => {
    if (this.#full === 0) return this.#slab === null ? undefined : this.#shareAgain();
    if (this.#slab === null && (this.#full < FULL_RECORDS || !hasRoom())) return undefined;
    if (this.#slab === null || this.#given === SLAB_BYTES) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#given = 0;
      slabs.add(this);
    }
    this.#given += RECORD_BYTES;
    return this.#slab.subarray(this.#given - RECORD_BYTES, this.#given);
  };

  #shareAgain(): Buffer {
    this.#slab = null;
    slabs.delete(this);
    return shared;
  }
}

/** A socket that is gone keeps its slab until another one asks. */
function hasRoom(): boolean {
  if (slabs.size < MOST_SLABS) return true;
  for (const reads of slabs) if (reads.isOver) slabs.delete(reads);
  return slabs.size < MOST_SLABS;
}

function copyOf(buffer: Buffer, length: number): Buffer {
  const chunk = Buffer.allocUnsafe(length);
  buffer.copy(chunk, 0, 0, length);
  return chunk;
}

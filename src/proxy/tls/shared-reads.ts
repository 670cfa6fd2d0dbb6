/**
 * Reads of TLS sockets into one buffer for all of them (shell: a socket's handle).
 *
 * A read of Node's makes a buffer of its own, external to the heap, and passes it through the machinery of a stream: a
 * tenth of a request. What is done here is `onread` of `net.Socket`, which Node gives to sockets that it connects itself
 * and not to those that it is given. Measured, and why by these names: docs/decisions/0066.
 */
import { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** As much as one record holds (RFC 8446 §5.2), and as Node takes from OpenSSL at a time. */
const READ_BYTES = 16_384;
/** Bytes are in it from a read to the call that copies them, and nothing runs between the two. */
const shared = Buffer.allocUnsafeSlow(READ_BYTES);

/**
 * Chunks above this are content on its way: they are laid behind one another, so that joining them copies nothing. Whoever
 * keeps a smaller one keeps no slab with it.
 */
const SMALL_BYTES = 8_192;
/** As many records as are passed on as one piece of content. */
const SLAB_BYTES = 65_536;
let slab = Buffer.alloc(0);
let slabUsed = 0;

/** Where a socket of this Node keeps its `onread`; null: somewhere else. */
const onread = fieldsOf(new Socket());

interface OnreadFields {
  readonly buffer: symbol;
  readonly callback: symbol;
}

function fieldsOf(socket: Socket): OnreadFields | null {
  const named = (name: string): symbol | undefined =>
    Object.getOwnPropertySymbols(socket).find(symbol => symbol.description === name);
  const buffer = named('kBuffer');
  const callback = named('kBufferCb');
  return buffer === undefined || callback === undefined ? null : { buffer, callback };
}

/**
 * From now on `socket` emits its bytes as before, in order, each chunk its receiver's to keep, without a stream's work
 * for each. False where this Node has no such way: then nothing was changed.
 */
export function readIntoShared(socket: TLSSocket): boolean {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (onread === null || !isReadInto(handle)) return false;
  Reflect.set(socket, onread.buffer, shared);
  Reflect.set(socket, onread.callback, (length: number) => take(socket, length));
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

/** Like a flowing stream: to its listeners where some are there and nothing waits before it, else it waits. */
function take(socket: TLSSocket, length: number): boolean {
  const chunk = length > SMALL_BYTES ? fromSlab(length) : Buffer.allocUnsafe(length);
  shared.copy(chunk, 0, 0, length);
  if (socket.readableFlowing !== true || socket.readableLength > 0 || socket.listenerCount('data') === 0)
    return socket.push(chunk);
  socket.emit('data', chunk);
  return true;
}

function fromSlab(length: number): Buffer {
  if (slabUsed + length > slab.length) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    slabUsed = 0;
  }
  slabUsed += length;
  return slab.subarray(slabUsed - length, slabUsed);
}

/**
 * The first bytes of a connection, read and put back (shell). Whoever reads the connection next, Node's TLS
 * included, finds the stream as if nobody had looked.
 */
import type { Duplex } from 'node:stream';

export type Peeked<T> =
  | { readonly kind: 'judged'; readonly value: T }
  /** The peer has ended or failed before enough was there. */
  | { readonly kind: 'ended' }
  /** Nothing at all came within `silenceMs`. */
  | { readonly kind: 'silent' }
  /** Something came, and not enough within `deadlineMs`. */
  | { readonly kind: 'slow' };

export interface PeekLimits {
  readonly silenceMs: number;
  readonly deadlineMs: number;
}

/**
 * Reads until `judge` gives something other than null, then puts every byte back. `judge` must come to an answer
 * within a bounded number of bytes: it sees all bytes so far at each call.
 */
export async function peek<T>(
  socket: Duplex,
  judge: (bytes: Buffer) => T | null,
  limits: PeekLimits,
): Promise<Peeked<T>> {
  let seen: Buffer = Buffer.alloc(0);
  return await new Promise(resolve => {
    const finish = (result: Peeked<T>): void => {
      clearTimeout(deadline);
      clearTimeout(silence);
      socket.off('readable', onReadable);
      socket.off('end', onEnd);
      socket.off('close', onEnd);
      if (seen.length > 0 && !socket.destroyed) socket.unshift(seen);
      resolve(result);
    };
    const onReadable = (): void => {
      const chunk: Buffer | null = socket.read();
      if (chunk === null) return;
      clearTimeout(silence);
      seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
      const value = judge(seen);
      if (value !== null) finish({ kind: 'judged', value });
    };
    const onEnd = (): void => finish({ kind: 'ended' });
    const deadline = setTimeout(() => finish({ kind: 'slow' }), limits.deadlineMs);
    const silence = setTimeout(() => finish({ kind: 'silent' }), limits.silenceMs);
    socket.on('readable', onReadable);
    socket.on('end', onEnd);
    socket.on('close', onEnd);
  });
}

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

const NOTHING: Buffer = Buffer.alloc(0);

/**
 * Reads until `judge` gives something other than null, then puts every byte back. `judge` must come to an answer
 * within a bounded number of bytes: it sees all bytes so far at each call.
 */
export function peek<T>(
  socket: Duplex,
  judge: (bytes: Buffer) => T | null,
  limits: PeekLimits,
): Promise<Peeked<T>> {
  let seen = NOTHING;
  const { silenceMs, deadlineMs } = limits;
  const started = performance.now();
  return new Promise(resolve => {
    const finish = (result: Peeked<T>): void => {
      clearTimeout(timer);
      socket.off('readable', onReadable);
      socket.off('end', onEnd);
      socket.off('close', onEnd);
      if (seen.length > 0 && !socket.destroyed) socket.unshift(seen);
      resolve(result);
    };
    const onReadable = (): void => {
      const chunk: Buffer | null = socket.read();
      if (chunk === null) return;
      const isFirst = seen.length === 0;
      seen = isFirst ? chunk : Buffer.concat([seen, chunk]);
      const value = judge(seen);
      if (value !== null) finish({ kind: 'judged', value });
      else if (isFirst) {
        clearTimeout(timer);
        timer = setTimeout(tooSlow, deadlineMs - (performance.now() - started));
      }
    };
    const onEnd = (): void => finish({ kind: 'ended' });
    const tooSlow = (): void => finish({ kind: 'slow' });
    const tooSilent = (): void => finish({ kind: silenceMs <= deadlineMs ? 'silent' : 'slow' });
    // One at a time: nearly every client is judged by its first bytes.
    let timer = setTimeout(tooSilent, Math.min(silenceMs, deadlineMs));
    socket.on('readable', onReadable);
    socket.on('end', onEnd);
    socket.on('close', onEnd);
  });
}

/** Messages over TCP: two bytes of length, then the message (RFC 1035 §4.2.2). Pure. */

/** The first message of `bytes`, a view; null if it is not whole yet. */
export function takeMessage(bytes: Uint8Array): Uint8Array | null {
  const length = messageLength(bytes);
  return length === null || bytes.length < 2 + length ? null : bytes.subarray(2, 2 + length);
}

/** The length that `bytes` begin with; null if it is not whole yet. */
export function messageLength(bytes: Uint8Array): number | null {
  return bytes.length < 2 ? null : ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
}

/** `message` has at most 65,535 bytes. */
export function frameMessage(message: Uint8Array): Uint8Array {
  const framed = new Uint8Array(2 + message.length);
  framed[0] = message.length >> 8;
  framed[1] = message.length & 0xff;
  framed.set(message, 2);
  return framed;
}

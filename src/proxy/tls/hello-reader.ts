/**
 * Gathers a ClientHello out of the record layer (RFC 8446 §5.1), however it was cut into records and segments.
 *
 * Pure and linear: each byte is looked at once, and no more than `HELLO_LIMIT` bytes are ever held.
 */
import { err, ok, type Result } from '../../core/result.js';
import { type ClientHello, type HelloFault, parseClientHello } from './client-hello.js';

/** The most bytes that a ClientHello may take on the wire, record headers included. */
export const HELLO_LIMIT = 65_536;

const RECORD_HEADER = 5;
const RECORD_LIMIT = 16_384;
const MESSAGE_HEADER = 4;
const HANDSHAKE = 0x16;
const CLIENT_HELLO = 1;

/** The outcome of `bytes` as the whole of what has arrived. */
export function readClientHello(bytes: Uint8Array): Result<ClientHello | 'incomplete', HelloFault> {
  const message = onlyMessage(bytes);
  return message === null ? new HelloReader().push(bytes) : parseClientHello(message);
}

/** The body of a ClientHello that is one record and all of it here, as nearly every one is: a view, not a copy. */
function onlyMessage(bytes: Uint8Array): Uint8Array | null {
  const start = RECORD_HEADER + MESSAGE_HEADER;
  if (bytes.length < start || bytes[0] !== HANDSHAKE || bytes[1] !== 3) return null;
  const record = (bytes[3] as number) * 256 + (bytes[4] as number);
  const end = RECORD_HEADER + record;
  if (record > RECORD_LIMIT || end > bytes.length || bytes[RECORD_HEADER] !== CLIENT_HELLO) return null;
  const length = ((bytes[6] as number) << 16) | ((bytes[7] as number) << 8) | (bytes[8] as number);
  return length === record - MESSAGE_HEADER ? bytes.subarray(start, end) : null;
}

/** One connection's reader. Segmentation makes no difference; after an outcome it must not be pushed again. */
export class HelloReader {
  readonly #header: number[] = [];
  #recordLeft = 0;
  #wireBytes = 0;
  #message = new Uint8Array(1024);
  #held = 0;

  /** Takes the next bytes of the connection, in order. */
  push(chunk: Uint8Array): Result<ClientHello | 'incomplete', HelloFault> {
    let at = 0;
    while (at < chunk.length) {
      if (this.#wireBytes >= HELLO_LIMIT) return err('too-large');
      if (this.#recordLeft === 0) {
        const fault = this.#headerByte(chunk[at] ?? 0);
        if (fault !== null) return err(fault);
        at += 1;
        this.#wireBytes += 1;
        continue;
      }
      const take = Math.min(this.#recordLeft, chunk.length - at, HELLO_LIMIT - this.#wireBytes);
      this.#hold(chunk.subarray(at, at + take));
      at += take;
      this.#wireBytes += take;
      this.#recordLeft -= take;
      const outcome = this.#outcome();
      if (outcome !== null) return outcome;
    }
    return ok('incomplete');
  }

  #headerByte(byte: number): HelloFault | null {
    const header = this.#header;
    header.push(byte);
    if (header.length === 1 && byte !== HANDSHAKE) return this.#firstByteFault(byte);
    if (header.length === 2 && byte !== 3) return 'not-tls';
    if (header.length < RECORD_HEADER) return null;
    const length = (header[3] ?? 0) * 256 + (header[4] ?? 0);
    header.length = 0;
    // A handshake record may not be empty (RFC 8446 §5.1).
    if (length === 0 || length > RECORD_LIMIT) return 'malformed';
    this.#recordLeft = length;
    return null;
  }

  #firstByteFault(byte: number): HelloFault {
    if (this.#wireBytes > 0) return 'malformed'; // nothing may stand between the parts of a message
    return (byte & 0x80) !== 0 ? 'sslv2' : 'not-tls';
  }

  #hold(bytes: Uint8Array): void {
    const needed = this.#held + bytes.length;
    if (needed > this.#message.length) {
      const grown = new Uint8Array(Math.min(HELLO_LIMIT, Math.max(needed, this.#message.length * 2)));
      grown.set(this.#message.subarray(0, this.#held));
      this.#message = grown;
    }
    this.#message.set(bytes, this.#held);
    this.#held = needed;
  }

  #outcome(): Result<ClientHello, HelloFault> | null {
    const message = this.#message;
    if (this.#held > 0 && message[0] !== CLIENT_HELLO) return err('malformed');
    if (this.#held < MESSAGE_HEADER) return null;
    const length = ((message[1] ?? 0) << 16) | ((message[2] ?? 0) << 8) | (message[3] ?? 0);
    const end = MESSAGE_HEADER + length;
    if (end > HELLO_LIMIT) return err('too-large');
    if (this.#held < end) return null;
    // The message ends its record: whatever shares it would be read by someone else (RFC 8446 §5.1).
    if (this.#held > end || this.#recordLeft > 0) return err('malformed');
    return parseClientHello(message.slice(MESSAGE_HEADER, end));
  }
}

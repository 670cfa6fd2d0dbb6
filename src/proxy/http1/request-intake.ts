/**
 * From bytes to requests (RFC 9112 §2.2, §6): heads, and of each request's content what has arrived with it.
 *
 * Sans-io: whoever owns the socket appends and asks. How the bytes were cut into pieces makes no difference but one:
 * content that is not all there yet is given as a decoder instead of bytes.
 */
import type { Authority } from '../../core/authority.js';
import { type HeaderList, NO_HEADERS } from '../../core/headers.js';
import { NO_BODY, type RequestHead } from '../exchange.js';
import { type BodyDecoder, type Decoded, joined, LengthDecoder } from './body.js';
import { ChunkedDecoder } from './chunked.js';
import { readClaim } from './claimed.js';
import type { RequestFaultCode } from './fault.js';
import { type HeadLimits, scanHead } from './head-scan.js';
import { mayHaveContent, parseRequestHead, type RequestReading } from './request-head.js';
import type { ClaimedRequest } from './server-options.js';
import { Unread } from './unread.js';

const CR = 0x0d;
const LF = 0x0a;

/** Content that has arrived whole, up to this size on the wire, is given as bytes. */
const WHOLE_BYTES = 64 * 1024;

export type ArrivedContent =
  | {
      readonly kind: 'whole';
      readonly body: Uint8Array;
      readonly trailers: HeaderList;
      readonly wireBytes: number;
    }
  /** More is to come; `first` is what there is, `wireBytes` what it took on the wire. */
  | {
      readonly kind: 'open';
      readonly decoder: BodyDecoder;
      readonly first: Decoded | null;
      readonly wireBytes: number;
    };

export interface ArrivedRequest {
  readonly kind: 'request';
  readonly head: RequestHead;
  /** The client did not ask for the connection to end. */
  readonly persistent: boolean;
  readonly content: ArrivedContent;
}

export type IntakeStep =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'fault'; readonly code: RequestFaultCode; readonly claimed: ClaimedRequest | null }
  | { readonly kind: 'connect'; readonly authority: Authority; readonly headBytes: number }
  | ArrivedRequest;

const INCOMPLETE: IntakeStep = { kind: 'incomplete' };

/** A GET or HEAD whose chunked content is not yet known to be empty. */
interface Waiting {
  readonly head: RequestHead;
  readonly persistent: boolean;
  readonly decoder: BodyDecoder;
  wireBytes: number;
}

export class RequestIntake {
  readonly unread = new Unread();
  readonly #reading: RequestReading;
  readonly #limits: HeadLimits;
  /** How much of `unread` is known to be an incomplete head. */
  #scanned = 0;
  /** Bytes of the empty line that may stand before a request line. */
  #emptyLine = 0;
  #waiting: Waiting | null = null;

  constructor(reading: RequestReading, limits: HeadLimits) {
    this.#reading = reading;
    this.#limits = limits;
  }

  /** True when not a byte of a next request is here. */
  get idle(): boolean {
    return this.unread.length === 0 && this.#emptyLine === 0 && this.#waiting === null;
  }

  /** The next request, if all of its head is here. After a fault it must not be asked again. */
  read(): IntakeStep {
    if (this.#waiting !== null) return this.#readOn(this.#waiting);
    this.#skipEmptyLine();
    const { bytes } = this.unread;
    if (bytes.length === 0 || (bytes.length === 1 && bytes[0] === CR && this.#emptyLine === 0))
      return INCOMPLETE;
    const length = scanHead(bytes, this.#scanned, this.#limits);
    if (!length.ok) return { kind: 'fault', code: length.error, claimed: this.#claim() };
    if (length.value === 'incomplete') {
      this.#scanned = bytes.length;
      return INCOMPLETE;
    }
    const text = bytes.toString('latin1', 0, length.value);
    this.unread.skip(length.value);
    this.#scanned = 0;
    return this.#readHead(text);
  }

  /** What the end of input means when `read` has said `incomplete` and the intake is not idle. */
  cutShort(slow: boolean): IntakeStep {
    if (this.#waiting !== null) {
      return {
        kind: 'fault',
        code: slow ? 'slow-content' : 'truncated-content',
        claimed: claimOf(this.#waiting.head),
      };
    }
    return { kind: 'fault', code: slow ? 'slow-head' : 'truncated-head', claimed: this.#claim() };
  }

  #skipEmptyLine(): void {
    const { bytes } = this.unread;
    if (this.#emptyLine > 0 || bytes[0] !== CR || bytes[1] !== LF) return;
    this.#emptyLine = 2;
    this.unread.skip(2);
  }

  #claim(): ClaimedRequest | null {
    return readClaim(this.unread.bytes.toString('latin1', 0, this.#limits.lineBytes));
  }

  #readHead(text: string): IntakeStep {
    const parsed = parseRequestHead(text, this.#reading);
    if (!parsed.ok) return { kind: 'fault', code: parsed.error, claimed: readClaim(text) };
    const headBytes = text.length + this.#emptyLine;
    this.#emptyLine = 0;
    if (parsed.value.kind === 'connect') return { ...parsed.value, headBytes };
    const { head, persistent } = parsed.value;
    const { framing } = head;
    if (framing.kind !== 'chunked' && (framing.kind !== 'length' || framing.bytes === 0)) {
      return request(head, persistent, whole(NO_BODY, NO_HEADERS, headBytes));
    }
    const decoder =
      framing.kind === 'length'
        ? new LengthDecoder(framing.bytes)
        : new ChunkedDecoder(this.#reading.contentBytes);
    if (mayHaveContent(head.method)) return this.#openContent(head, persistent, decoder, headBytes);
    return this.#readOn({ head, persistent, decoder, wireBytes: headBytes });
  }

  /** Decodes what is there: a fault in it is told before anybody has heard of the request. */
  #openContent(head: RequestHead, persistent: boolean, decoder: BodyDecoder, headBytes: number): IntakeStep {
    const bytes = this.unread.take();
    if (bytes.length === 0) {
      return request(head, persistent, { kind: 'open', decoder, first: null, wireBytes: headBytes });
    }
    const first = decoder.push(bytes);
    if (!first.ok) return { kind: 'fault', code: first.error, claimed: claimOf(head) };
    const { pieces, done, rest } = first.value;
    if (!done || bytes.length > WHOLE_BYTES) {
      const wireBytes = headBytes + bytes.length - rest.length;
      return request(head, persistent, { kind: 'open', decoder, first: first.value, wireBytes });
    }
    this.unread.append(rest);
    const wireBytes = headBytes + bytes.length - rest.length;
    return request(head, persistent, whole(joined(pieces), decoder.trailers, wireBytes));
  }

  /** A chunked GET: nothing is forwarded until its content is known to be empty, and then as what it is. */
  #readOn(waiting: Waiting): IntakeStep {
    const { head, persistent, decoder } = waiting;
    const bytes = this.unread.take();
    const decoded = decoder.push(bytes);
    if (!decoded.ok) return { kind: 'fault', code: decoded.error, claimed: claimOf(head) };
    if (decoded.value.pieces.length > 0)
      return { kind: 'fault', code: 'content-not-expected', claimed: claimOf(head) };
    waiting.wireBytes += bytes.length - decoded.value.rest.length;
    this.#waiting = decoded.value.done ? null : waiting;
    if (!decoded.value.done) return INCOMPLETE;
    this.unread.append(decoded.value.rest);
    const plain: RequestHead = { ...head, framing: { kind: 'none' }, expectsContinue: false };
    return request(plain, persistent, whole(NO_BODY, NO_HEADERS, waiting.wireBytes));
  }
}

function request(head: RequestHead, persistent: boolean, content: ArrivedContent): ArrivedRequest {
  return { kind: 'request', head, persistent, content };
}

function whole(body: Uint8Array, trailers: HeaderList, wireBytes: number): ArrivedContent {
  return { kind: 'whole', body, trailers, wireBytes };
}

/** What a request whose content is at fault asked for. */
export function claimOf(head: RequestHead): ClaimedRequest {
  return { method: head.method, target: head.path, host: '' };
}

/**
 * Where field lists and content become requests: each is read strictly, refused or handed over, once the bytes that
 * came with it are read too. A request that is reset in the same breath is never handed over at all.
 */

import type { HeaderField, HeaderList } from '../../core/headers.js';
import { AuthorityReader } from '../http1/authority.js';
import { answerOf, type RequestFaultCode, requestFault } from '../http1/fault.js';
import type { FloodKind } from './flood.js';
import type { Frame, SessionFault } from './frame-payload.js';
import { ERROR, type ErrorCode } from './frames.js';
import { HpackDecoder } from './hpack-decoder.js';
import type { Http2Limits, Http2Options } from './options.js';
import { claimOf, type HeadFault, isContentless, parseHead, SectionReader } from './request-head.js';
import { ServerStream, type StreamHost, type StreamState } from './stream.js';
import { parseTrailers } from './trailers.js';

/** What the door needs of its connection. */
export interface DoorHost extends StreamHost {
  readonly limits: Http2Limits;
  readonly streams: Map<number, ServerStream>;
  /** No new streams are taken. */
  readonly leaving: boolean;
  spend(kind: FloodKind): boolean;
  forget(id: number, code: ErrorCode): void;
  fail(fault: SessionFault): void;
}

type HeadersFrame = Extract<Frame, { type: 'headers' }>;

/** Clients may open a stream before they know that another has ended. */
const STREAM_SLACK = 28;

export class RequestDoor {
  /** The highest stream that the client opened. */
  lastStream = 0;
  readonly #host: DoorHost;
  readonly #options: Http2Options;
  readonly #decoder: HpackDecoder;
  readonly #authorities: AuthorityReader;
  readonly #sections = new SectionReader();
  #ready: ServerStream[] = [];

  constructor(host: DoorHost, options: Http2Options) {
    this.#host = host;
    this.#options = options;
    this.#decoder = new HpackDecoder({ bytes: host.limits.headBytes, fields: host.limits.fields });
    const { scheme, name, target } = options;
    this.#authorities = new AuthorityReader({ mode: 'tls', scheme, name, target });
  }

  takeHeaders(frame: HeadersFrame, state: StreamState): void {
    // Every block is read, wanted or not: the table must follow (RFC 7541 §2.2).
    const list = this.#decoder.decode(frame.block);
    if (!list.ok) {
      this.#host.fail({ code: ERROR.compression, reason: 'a header block that is none' });
      return;
    }
    const { fields, tooLong } = list.value;
    const stream = this.#host.streams.get(frame.stream);
    if (stream !== undefined) {
      this.#takeTrailers(stream, frame, tooLong ? null : fields);
      return;
    }
    if (state === 'forgotten') return;
    if (state !== 'idle' || frame.stream % 2 === 0) {
      this.#host.fail({ code: ERROR.protocol, reason: 'HEADERS on a stream that cannot be opened' });
      return;
    }
    this.lastStream = frame.stream;
    if (this.#host.leaving) return;
    if (this.#host.streams.size >= this.#host.limits.streams + STREAM_SLACK) {
      this.#host.forget(frame.stream, ERROR.refusedStream);
      this.#host.spend('reset');
      return;
    }
    if (tooLong) {
      this.#refuse(frame, [], { code: 'head-too-large', malformed: false });
      return;
    }
    this.#open(frame, fields);
  }

  /** Content of an open stream. */
  takeContent(stream: ServerStream, bytes: Buffer, flow: number, end: boolean): void {
    stream.count(flow);
    const { inflow } = stream;
    if (inflow.ended) {
      this.#break(stream, 'content-not-expected', ERROR.streamClosed);
      return;
    }
    if (!stream.window.take(flow)) {
      this.#break(stream, 'content-too-large', ERROR.flowControl);
      return;
    }
    if (flow > bytes.length) this.#host.consumed(stream, 0, flow - bytes.length);
    if (bytes.length > 0 && isContentless(stream.head.method)) {
      this.#break(stream, 'content-not-expected', ERROR.protocol);
      return;
    }
    if (!inflow.take(bytes)) {
      const code = inflow.announced ? 'bad-content-length' : 'content-too-large';
      this.#break(stream, code, inflow.announced ? ERROR.protocol : ERROR.enhanceYourCalm);
      return;
    }
    if (end) this.#endContent(stream, []);
  }

  /** Hands over the requests that were read. */
  handOver(): void {
    if (this.#ready.length === 0) return;
    const ready = this.#ready;
    this.#ready = [];
    for (const stream of ready) if (!stream.closed) this.#give(stream);
  }

  #give(stream: ServerStream): void {
    stream.handedOver = true;
    const settle = (): void => {
      if (!stream.answered) this.#host.reset(stream, ERROR.internal);
    };
    // A handler that fails has told so itself; the client sees the reset.
    this.#options.onExchange(stream).then(settle, settle);
  }

  #open(frame: HeadersFrame, fields: HeaderList): void {
    const { limits } = this.#host;
    const head = parseHead(fields, {
      authorities: this.#authorities,
      sections: this.#sections,
      endStream: frame.end,
      contentBytes: limits.contentBytes,
      wireBytes: frame.wireBytes,
    });
    if (!head.ok) {
      this.#refuse(frame, fields, head.error);
      return;
    }
    const stream = new ServerStream(this.#host, frame.stream, head.value);
    this.#host.streams.set(stream.id, stream);
    if (frame.end) stream.inflow.end([]);
    // A GET is handed over when it is certain that nothing follows it.
    if (frame.end || !isContentless(head.value.method)) this.#ready.push(stream);
  }

  #takeTrailers(stream: ServerStream, frame: HeadersFrame, fields: HeaderList | null): void {
    stream.count(frame.wireBytes);
    if (stream.inflow.ended) {
      this.#break(stream, 'content-not-expected', ERROR.streamClosed);
      return;
    }
    if (fields === null) {
      this.#break(stream, 'head-too-large', ERROR.enhanceYourCalm);
      return;
    }
    if (!frame.end) {
      this.#break(stream, 'bad-request-line', ERROR.protocol);
      return;
    }
    const trailers = parseTrailers(fields, this.#host.limits.fields);
    if (!trailers.ok) {
      this.#break(stream, trailers.error, ERROR.protocol);
      return;
    }
    this.#endContent(stream, trailers.value);
  }

  #endContent(stream: ServerStream, trailers: HeaderList): void {
    if (!stream.inflow.end(trailers)) {
      this.#break(stream, 'bad-content-length', ERROR.protocol);
      return;
    }
    if (isContentless(stream.head.method)) this.#ready.push(stream);
    stream.remoteEnded();
  }

  /** The content of a request is not what it may be. */
  #break(stream: ServerStream, code: RequestFaultCode, error: ErrorCode): void {
    if (!stream.answered) {
      const { method, path } = stream.head;
      const claimed = { method, target: path.slice(0, 256), host: '' };
      this.#options.onFault({ ...requestFault(code), claimed, inExchange: stream.handedOver });
    }
    this.#host.reset(stream, error);
    this.#host.spend('reset');
  }

  /** A field list that is no request, or one that is refused before anybody decides on it. */
  #refuse(frame: HeadersFrame, fields: HeaderList, fault: HeadFault): void {
    const broken = requestFault(fault.code);
    const claimed = fields.length === 0 ? null : claimOf(fields);
    const { status, content } = answerOf(
      this.#options.onFault({ ...broken, claimed, inExchange: false }),
      broken,
    );
    if (fault.malformed) {
      this.#host.forget(frame.stream, ERROR.protocol);
      this.#host.spend('reset');
      return;
    }
    this.#answer(frame.stream, status, content);
    if (!frame.end) this.#host.forget(frame.stream, ERROR.none);
  }

  #answer(id: number, status: number, content: Uint8Array | null): void {
    const { outflow } = this.#host;
    const fields: HeaderField[] = [[':status', String(status)]];
    // Nobody waits for a window that a stranger keeps shut: then the status must do.
    if (content === null || content.length === 0 || content.length > outflow.room) {
      fields.push(['content-length', '0']);
      this.#host.write(this.#host.emitHead(id, fields, true));
      return;
    }
    fields.push(['content-type', 'application/json'], ['content-length', String(content.length)]);
    const out = outflow.open(id);
    outflow.sendWhole(out, this.#host.emitHead(id, fields, false), Buffer.from(content), () => {});
    outflow.close(out);
  }
}

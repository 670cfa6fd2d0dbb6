/**
 * HTTP/2 to an upstream (RFC 9113): one verified TLS connection, its streams shared by the requests of one sandbox to
 * one authority. What breaks the protocol ends the connection with GOAWAY; what breaks one stream resets that stream.
 *
 * A shell: it owns the socket and one timer.
 */
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../core/clock.js';
import { GatewayError } from '../../core/errors.js';
import type { HeaderList } from '../../core/headers.js';
import type { CancelSignal } from '../cancel.js';
import type { ConnectionAnswer, HttpConnection, OutboundRequest } from '../connection.js';
import { type FloodKind, FloodMeter } from '../http2/flood.js';
import type { Frame, SessionFault, Setting } from '../http2/frame-payload.js';
import { FrameReader } from '../http2/frame-reader.js';
import {
  DEFAULT_WINDOW,
  ERROR,
  type ErrorCode,
  emitGoaway,
  emitHeaders,
  emitPong,
  emitReset,
  emitSettings,
  emitWindowUpdate,
  FRAME_HEADER,
  PREFACE,
  SETTING,
  SETTINGS_ACK,
} from '../http2/frames.js';
import { HpackDecoder } from '../http2/hpack-decoder.js';
import { emitFields, type MessageFields, NO_TABLE } from '../http2/hpack-encoder.js';
import { Outflow } from '../http2/outflow.js';
import { ReceiveWindow } from '../http2/receive-window.js';
import { applySettings } from '../http2/settings.js';
import { WriteBatch } from '../http2/write-batch.js';
import { aborted } from './failure.js';
import { AnswerReader, requestFields } from './h2-fields.js';
import { type AnswerTimes, ClientStream, STREAM_WINDOW, type StreamHost, UNPROCESSED } from './h2-stream.js';

/** What all answers of a connection may have under way to us: the most content that is ever held. */
const CONNECTION_WINDOW = 8 << 20;
const MAX_STREAMS = 256;
/** Until the peer's SETTINGS arrive (RFC 9113 §6.5.2 recommends no less). */
const STREAMS_AT_FIRST = 100;
/** Beyond it there are no more identifiers (RFC 9113 §5.1.1). */
const LAST_STREAM = 0x7fffffff;
const HEAD_LIMITS = { bytes: 65_536, fields: 512 };
const LONGEST_TICK_MS = 1_000;
const TICKS_PER_TIME = 4;

const GREETING: Buffer = Buffer.concat([
  PREFACE,
  emitSettings([
    [SETTING.enablePush, 0],
    [SETTING.initialWindowSize, STREAM_WINDOW],
    [SETTING.maxHeaderListSize, HEAD_LIMITS.bytes],
  ]),
  emitWindowUpdate(0, CONNECTION_WINDOW - DEFAULT_WINDOW),
]);

export class Http2Connection implements HttpConnection, StreamHost {
  readonly protocol = 'h2';
  readonly host: string;
  readonly outflow: Outflow;
  readonly #socket: TLSSocket;
  readonly #times: AnswerTimes;
  readonly #clock: Clock;
  readonly #reader = new FrameReader('client');
  readonly #decoder = new HpackDecoder(HEAD_LIMITS);
  readonly answers = new AnswerReader();
  readonly #batch: WriteBatch;
  readonly #meter = new FloodMeter();
  readonly #window = new ReceiveWindow(CONNECTION_WINDOW);
  readonly #streams = new Map<number, ClientStream>();
  /** Their heads have come in this turn; whether they are whole is not known yet. */
  #undelivered: ClientStream[] = [];
  #nextId = 1;
  #maxStreams = STREAMS_AT_FIRST;
  #draining = false;
  #over = false;
  #lastTick = 0;
  #timer: NodeJS.Timeout | null = null;

  /** `socket` has negotiated `h2` and its peer is verified; the connection owns it. */
  constructor(socket: TLSSocket, host: string, times: AnswerTimes, clock: Clock) {
    this.#socket = socket;
    this.host = host;
    this.#times = times;
    this.#clock = clock;
    this.#batch = new WriteBatch(socket);
    this.outflow = new Outflow(this);
    socket.allowHalfOpen = false;
    socket.setNoDelay(true); // a frame that waits for an acknowledgement holds up every stream
    socket.on('error', () => {}); // 'close' follows, and each stream hears of it
    socket.once('close', () => this.#closed());
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('drain', () => this.outflow.drained());
    this.write(GREETING);
  }

  get ready(): boolean {
    return !this.#draining && !this.closed && this.#streams.size < this.#maxStreams;
  }

  get closed(): boolean {
    return this.#over || this.#socket.destroyed;
  }

  async send(request: OutboundRequest, signal: CancelSignal): Promise<ConnectionAnswer> {
    if (signal.aborted) throw aborted(signal);
    const fields = requestFields(request);
    if (!fields.ok)
      throw new GatewayError('CLIENT_PROTOCOL', `the request cannot be sent by HTTP/2: ${fields.error}`);
    if (this.#draining || this.closed) {
      const cause = UNPROCESSED;
      throw new GatewayError('UPSTREAM_UNREACHABLE', 'the connection takes no request', { cause });
    }
    const id = this.#nextId;
    this.#nextId += 2;
    if (this.#nextId > LAST_STREAM) this.#draining = true;
    this.#keepTime();
    return await new Promise((resolve, reject) => {
      const stream = new ClientStream(this, id, request, signal, { resolve, reject });
      this.#streams.set(id, stream);
      stream.start(fields.value);
    });
  }

  /** At once: streams that are open end as truncated. */
  close(): void {
    if (this.#over) return;
    this.write(emitGoaway(0, ERROR.none));
    this.#batch.flush();
    this.#closed();
    this.#socket.destroy();
  }

  // What streams ask of their connection.

  emitHead(
    id: number,
    fields: HeaderList | MessageFields,
    sensitive: ReadonlySet<string>,
    endStream: boolean,
  ): Buffer {
    const isFirst = id === 1;
    const block = emitFields(fields, FRAME_HEADER + (isFirst ? 1 : 0), sensitive);
    if (isFirst) block[FRAME_HEADER] = NO_TABLE;
    return emitHeaders(id, block, endStream);
  }

  write(bytes: Buffer, done?: (error?: Error | null) => void): boolean {
    return this.#over ? true : this.#batch.write(bytes, done);
  }

  consumed(stream: ClientStream, bytes: number): void {
    this.#credit(bytes);
    this.#creditStream(stream, bytes);
  }

  finished(stream: ClientStream): void {
    this.#streams.delete(stream.id);
    this.outflow.close(stream.out);
  }

  reset(stream: ClientStream, code: ErrorCode): void {
    if (!this.#streams.has(stream.id)) return;
    this.write(emitReset(stream.id, code));
    this.finished(stream);
  }

  // The socket's events.

  #onData(chunk: Buffer): void {
    if (this.#over) return;
    const { frames, fault } = this.#reader.push(chunk);
    for (const frame of frames) {
      this.#take(frame);
      if (this.#over) return;
    }
    if (fault !== null) this.#fail(fault);
    else this.#deliver();
  }

  /** A short content is mostly in the record behind its head's: a turn's wait spares it a stream. */
  #deliver(): void {
    if (this.#undelivered.length === 0) return;
    const streams = this.#undelivered;
    this.#undelivered = [];
    const short = streams.filter(stream => !stream.closed && stream.isShort);
    for (const stream of streams) if (!stream.isShort) stream.deliver();
    if (short.length === 0) return;
    setImmediate(() => {
      for (const stream of short) stream.deliver();
    });
  }

  /** Nothing goes in or out any more. */
  #closed(): void {
    if (this.#over) return;
    this.#end((stream): GatewayError => stream.cutOff());
  }

  #end(errorOf: (stream: ClientStream) => GatewayError): void {
    this.#over = true;
    this.#draining = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    for (const stream of this.#streams.values()) stream.fail(errorOf(stream), null);
    this.#streams.clear();
  }

  /** Ends the connection for what the peer did. */
  #fail({ code, reason }: SessionFault): void {
    if (this.#over) return;
    this.write(emitGoaway(0, code));
    this.#batch.flush();
    const message = `${this.host} broke HTTP/2: ${reason}`;
    this.#end(() => new GatewayError('UPSTREAM_PROTOCOL', message));
    this.#socket.destroy();
  }

  #spend(kind: FloodKind): void {
    if (this.#meter.allows(kind, this.#clock.monotonic())) return;
    this.#fail({ code: ERROR.enhanceYourCalm, reason: `too many frames of the kind '${kind}'` });
  }

  /** Runs while there are streams. */
  #keepTime(): void {
    if (this.#timer !== null) return;
    const { headMs, idleMs } = this.#times;
    const tickMs = Math.min(LONGEST_TICK_MS, Math.ceil(Math.min(headMs, idleMs) / TICKS_PER_TIME));
    this.#lastTick = this.#clock.monotonic();
    this.#timer = setInterval(() => this.#tick(), tickMs).unref();
  }

  #tick(): void {
    const now = this.#clock.monotonic();
    const elapsedMs = now - this.#lastTick;
    this.#lastTick = now;
    for (const stream of this.#streams.values()) {
      const late = stream.lateAfter(elapsedMs, this.#times);
      if (late === null) continue;
      // Silence is also how a connection looks that is gone.
      this.#draining = true;
      stream.fail(late, ERROR.cancel);
    }
    if (this.#streams.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  // Frames.

  #take(frame: Frame): void {
    switch (frame.type) {
      case 'data':
        this.#takeData(frame);
        break;
      case 'headers':
        this.#takeHeaders(frame);
        break;
      case 'reset':
        this.#takeReset(frame.stream, frame.code);
        break;
      case 'window':
        this.#takeWindow(frame.stream, frame.increment);
        break;
      case 'settings':
        this.#takeSettings(frame.values);
        break;
      case 'ping':
        this.write(emitPong(frame.data));
        this.#spend('ping');
        break;
      case 'goaway':
        this.#takeGoaway(frame.lastStream);
        break;
      case 'bad':
        this.#takeBad(frame.stream, frame.code);
        break;
      case 'idle':
        this.#spend('idle');
        break;
      default:
        frame satisfies never;
    }
  }

  /** A stream that we never opened. */
  #isIdle(id: number): boolean {
    return id % 2 === 0 || id >= this.#nextId;
  }

  #takeData(frame: Extract<Frame, { type: 'data' }>): void {
    const { bytes, flow, end } = frame;
    if (this.#isIdle(frame.stream)) return void this.#fail(protocolFault('DATA on an idle stream'));
    if (!this.#window.take(flow)) {
      return void this.#fail({ code: ERROR.flowControl, reason: 'more content than the connection allows' });
    }
    if (bytes.length === 0 && !end) this.#spend('empty-data');
    const stream = this.#streams.get(frame.stream);
    // Padding is read at once; so is what nobody waits for any more.
    this.#credit(stream === undefined ? flow : flow - bytes.length);
    if (stream === undefined) return;
    if (frame.starts) stream.received += FRAME_HEADER;
    if (!stream.window.take(flow)) {
      return void this.#fail({ code: ERROR.flowControl, reason: 'more content than the stream allows' });
    }
    this.#creditStream(stream, flow - bytes.length);
    stream.takeContent(bytes, flow, end);
  }

  #takeHeaders({ stream: id, block, end, wireBytes }: Extract<Frame, { type: 'headers' }>): void {
    // Every block is read, wanted or not: the table must follow (RFC 7541 §2.2).
    const list = this.#decoder.decode(block);
    if (!list.ok) return void this.#fail({ code: ERROR.compression, reason: 'a header block that is none' });
    if (this.#isIdle(id)) return void this.#fail(protocolFault('HEADERS on an idle stream'));
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.received += wireBytes;
    const { fields, tooLong } = list.value;
    if (tooLong) return void stream.malformed('a head that is too large');
    stream.takeFields(fields, end);
    if (stream.waits) this.#undelivered.push(stream);
  }

  #takeReset(id: number, code: number): void {
    if (this.#isIdle(id)) return void this.#fail(protocolFault('RST_STREAM on an idle stream'));
    const stream = this.#streams.get(id);
    if (stream === undefined) return void this.#spend('idle');
    this.finished(stream);
    stream.fail(stream.resetWith(code), null);
  }

  #takeWindow(id: number, increment: number): void {
    if (id === 0) {
      if (!this.outflow.grant(increment))
        this.#fail({ code: ERROR.flowControl, reason: 'the window is too large' });
      return;
    }
    if (this.#isIdle(id)) return void this.#fail(protocolFault('WINDOW_UPDATE on an idle stream'));
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    if (!this.outflow.grantStream(stream.out, increment)) stream.malformed('a window that is too large');
  }

  #takeBad(id: number, code: ErrorCode): void {
    if (this.#isIdle(id)) return void this.#fail({ code, reason: 'a bad frame on an idle stream' });
    this.#streams.get(id)?.malformed('a bad frame');
  }

  #takeSettings(values: readonly Setting[]): void {
    const fault = applySettings(values, this.outflow);
    if (fault !== null) return void this.#fail(fault);
    for (const [id, value] of values) {
      if (id === SETTING.maxConcurrentStreams) this.#maxStreams = Math.min(value, MAX_STREAMS);
    }
    this.write(SETTINGS_ACK);
    this.#spend('settings');
  }

  /** Streams above the last one were not begun, and may be sent again (RFC 9113 §6.8). */
  #takeGoaway(lastStream: number): void {
    this.#draining = true;
    for (const stream of this.#streams.values()) {
      if (stream.id <= lastStream) continue;
      this.finished(stream);
      stream.fail(stream.resetWith(ERROR.refusedStream), null);
    }
  }

  #creditStream(stream: ClientStream, bytes: number): void {
    if (bytes === 0 || stream.closed) return;
    const increment = stream.window.consume(bytes);
    if (increment > 0) this.write(emitWindowUpdate(stream.id, increment));
  }

  #credit(bytes: number): void {
    const increment = this.#window.consume(bytes);
    if (increment > 0) this.write(emitWindowUpdate(0, increment));
  }
}

function protocolFault(reason: string): SessionFault {
  return { code: ERROR.protocol, reason };
}

/**
 * One HTTP/2 connection with a sandbox (RFC 9113): its frames, its streams, and what it may cost.
 *
 * A shell: it owns the socket and one timer. Whatever breaks the protocol, or a budget, ends the connection with
 * GOAWAY; whatever breaks one stream, resets that stream.
 */
import type { Duplex } from 'node:stream';
import type { Clock } from '../../core/clock.js';
import { GatewayError } from '../../core/errors.js';
import type { HeaderList } from '../../core/headers.js';
import { type FloodKind, FloodMeter } from './flood.js';
import type { Frame, SessionFault, Setting } from './frame-payload.js';
import { FrameReader } from './frame-reader.js';
import {
  ERROR,
  type ErrorCode,
  emitGoaway,
  emitHeaders,
  emitPong,
  emitReset,
  emitWindowUpdate,
  FRAME_HEADER,
  SETTINGS_ACK,
} from './frames.js';
import { emitFields, type MessageFields, NO_TABLE } from './hpack-encoder.js';
import type { Http2Limits, Http2Options } from './options.js';
import { Outflow } from './outflow.js';
import { ReceiveWindow } from './receive-window.js';
import { type DoorHost, RequestDoor } from './request-door.js';
import { applySettings, emitGreeting } from './settings.js';
import type { ServerStream, StreamState } from './stream.js';
import { WriteBatch } from './write-batch.js';

/** What all requests of a connection may have under way to us: the most content that is ever held. */
const CONNECTION_WINDOW = 4 << 20;
/** Streams that we reset, whose late frames are passed over. */
const REMEMBERED_RESETS = 1_000;
/** With more than this unsent the client is not listened to. */
const BACKLOG_BYTES = 1 << 20;
/** How long a client may take to read our last words. */
const LINGER_MS = 1_000;
const TICK_MS = 1_000;

export class Session implements DoorHost {
  readonly outflow: Outflow;
  readonly limits: Http2Limits;
  readonly streams = new Map<number, ServerStream>();
  readonly #socket: Duplex;
  readonly #options: Http2Options;
  readonly #clock: Clock;
  readonly #reader = new FrameReader();
  readonly #door: RequestDoor;
  readonly #batch: WriteBatch;
  readonly #meter = new FloodMeter();
  readonly #window = new ReceiveWindow(CONNECTION_WINDOW);
  readonly #forgotten = new Set<number>();
  #hasAnswered = false;
  #over = false;
  /** Ends with its last stream: the client said GOAWAY, or was told that the connection is idle. */
  #leaving = false;
  /** Since when there is no stream, and since when a head is not whole; milliseconds of the monotonic clock. */
  #quietSince: number;
  #headSince: number | null;
  #lastTick: number;
  #timer: NodeJS.Timeout | null = null;

  constructor(socket: Duplex, options: Http2Options, limits: Http2Limits, clock: Clock) {
    this.#socket = socket;
    this.#options = options;
    this.limits = limits;
    this.#clock = clock;
    this.#batch = new WriteBatch(socket);
    this.outflow = new Outflow(this);
    this.#door = new RequestDoor(this, options);
    this.#quietSince = clock.monotonic();
    this.#headSince = this.#quietSince;
    this.#lastTick = this.#quietSince;
  }

  run(): Promise<void> {
    const socket = this.#socket;
    return new Promise(resolve => {
      socket.once('close', () => {
        this.#closed();
        resolve();
      });
      if (socket.destroyed) {
        this.#closed();
        resolve();
        return;
      }
      socket.on('error', () => {}); // 'close' follows, and is what is waited for
      socket.on('data', (chunk: Buffer) => this.#onData(chunk));
      socket.on('drain', () => {
        this.outflow.drained();
        socket.resume();
      });
      socket.once('end', () => this.#onEnd());
      this.#greet();
    });
  }

  // What streams and the door ask of their connection.

  get contentBytes(): number {
    return this.limits.contentBytes;
  }

  get leaving(): boolean {
    return this.#leaving || this.#over;
  }

  emitHead(stream: number, fields: HeaderList | MessageFields, endStream: boolean): Buffer {
    const isFirst = !this.#hasAnswered;
    this.#hasAnswered = true;
    const block = emitFields(fields, FRAME_HEADER + (isFirst ? 1 : 0));
    if (isFirst) block[FRAME_HEADER] = NO_TABLE;
    return emitHeaders(stream, block, endStream);
  }

  write(bytes: Buffer, done?: (error?: Error | null) => void): boolean {
    if (this.#over) {
      done?.(new GatewayError('CLIENT_ABORTED', 'the connection has ended'));
      return true;
    }
    this.#meter.earn('window', 2);
    return this.#batch.write(bytes, done);
  }

  consumed(stream: ServerStream, bytes: number, padding = 0): void {
    // Padding was given back to the connection when it came.
    this.#credit(bytes);
    if (stream.closed || stream.inflow.ended) return;
    const increment = stream.window.consume(bytes + padding);
    if (increment > 0) this.write(emitWindowUpdate(stream.id, increment));
  }

  finished(stream: ServerStream): void {
    this.#remove(stream);
    stream.close(null);
  }

  reset(stream: ServerStream, code: ErrorCode): void {
    if (stream.closed) return;
    this.forget(stream.id, code);
    this.#remove(stream);
    stream.close(
      new GatewayError(code === ERROR.protocol ? 'CLIENT_PROTOCOL' : 'CLIENT_ABORTED', RESET_TEXT),
    );
  }

  /** Resets what may have no stream object (yet). */
  forget(id: number, code: ErrorCode): void {
    this.write(emitReset(id, code));
    this.#forgotten.add(id);
    if (this.#forgotten.size <= REMEMBERED_RESETS) return;
    for (const oldest of this.#forgotten) {
      this.#forgotten.delete(oldest);
      return;
    }
  }

  /** Counts something that a client could do for ever; false when the connection was ended for it. */
  spend(kind: FloodKind): boolean {
    if (this.#meter.allows(kind, this.#clock.monotonic())) return true;
    this.fail({ code: ERROR.enhanceYourCalm, reason: `too many frames of the kind '${kind}'` });
    return false;
  }

  /** Ends the connection with GOAWAY. */
  fail(fault: SessionFault): void {
    if (this.#over) return;
    this.write(emitGoaway(this.#door.lastStream, fault.code));
    this.#end(new GatewayError('CLIENT_PROTOCOL', fault.reason));
    this.#options.onSessionFault?.(fault);
  }

  // The socket's events.

  #greet(): void {
    this.write(emitGreeting(this.limits, CONNECTION_WINDOW));
    const { headMs, keepAliveMs, contentIdleMs } = this.limits;
    const tickMs = Math.min(TICK_MS, Math.ceil(Math.min(headMs, keepAliveMs, contentIdleMs) / 2));
    this.#timer = setInterval(() => this.#tick(), tickMs);
    this.#timer.unref();
  }

  #onData(chunk: Buffer): void {
    if (this.#over) return;
    const { frames, fault } = this.#reader.push(chunk);
    for (const frame of frames) {
      this.#take(frame);
      if (this.#over) return;
    }
    if (fault !== null) {
      this.fail(fault);
      return;
    }
    this.#headSince = this.#reader.midHead ? (this.#headSince ?? this.#clock.monotonic()) : null;
    this.#door.handOver();
    if (this.#socket.writableLength > BACKLOG_BYTES) this.#socket.pause();
    this.#leaveIfDone();
  }

  #onEnd(): void {
    this.#end(new GatewayError('CLIENT_ABORTED', 'the sandbox closed the connection'));
  }

  #closed(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#over = true;
    this.#closeStreams(new GatewayError('CLIENT_ABORTED', 'the sandbox closed the connection'));
  }

  #tick(): void {
    const now = this.#clock.monotonic();
    const elapsedMs = now - this.#lastTick;
    this.#lastTick = now;
    if (this.#over) return;
    if (this.#headSince !== null && now - this.#headSince > this.limits.headMs) {
      this.fail({ code: ERROR.enhanceYourCalm, reason: 'a head did not arrive in time' });
      return;
    }
    if (this.streams.size === 0 && now - this.#quietSince > this.limits.keepAliveMs) {
      this.#leave();
      return;
    }
    for (const stream of this.streams.values()) {
      if (stream.stalledFor(elapsedMs) > this.limits.contentIdleMs) this.reset(stream, ERROR.cancel);
    }
  }

  // Frames.

  #take(frame: Frame): void {
    switch (frame.type) {
      case 'data':
        this.#takeData(frame);
        return;
      case 'headers':
        this.#door.takeHeaders(frame, this.#stateOf(frame.stream));
        return;
      case 'reset':
        this.#takeReset(frame.stream);
        return;
      case 'window':
        this.#takeWindow(frame.stream, frame.increment);
        return;
      case 'settings':
        this.#takeSettings(frame.values);
        return;
      case 'ping':
        if (this.spend('ping')) this.write(emitPong(frame.data));
        return;
      case 'goaway':
        this.#leaving = true;
        return;
      case 'bad':
        this.#takeBad(frame.stream, frame.code);
        return;
      case 'idle':
        this.spend('idle');
        return;
      default:
        frame satisfies never;
    }
  }

  #stateOf(id: number): StreamState {
    if (this.streams.has(id)) return 'open';
    if (id % 2 === 0 || id > this.#door.lastStream) return 'idle';
    return this.#forgotten.has(id) ? 'forgotten' : 'closed';
  }

  #takeData(frame: Extract<Frame, { type: 'data' }>): void {
    const { bytes, flow, end } = frame;
    if (bytes.length === 0 && !end && !this.spend('empty-data')) return;
    if (!this.#window.take(flow)) {
      this.fail({ code: ERROR.flowControl, reason: 'more content than the connection allows' });
      return;
    }
    const stream = this.streams.get(frame.stream);
    // Padding is read at once; so is what nobody waits for any more.
    this.#credit(stream === undefined ? flow : flow - bytes.length);
    if (stream !== undefined) {
      if (frame.starts) stream.count(FRAME_HEADER);
      this.#door.takeContent(stream, bytes, flow, end);
      return;
    }
    const state = this.#stateOf(frame.stream);
    if (state === 'forgotten') return;
    if (state === 'idle') {
      this.fail({ code: ERROR.protocol, reason: 'DATA on an idle stream' });
      return;
    }
    this.fail({ code: ERROR.streamClosed, reason: 'DATA on a closed stream' });
  }

  #takeReset(id: number): void {
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.#stateOf(id) === 'idle')
        this.fail({ code: ERROR.protocol, reason: 'RST_STREAM on an idle stream' });
      else this.spend('idle');
      return;
    }
    this.#remove(stream);
    stream.close(new GatewayError('CLIENT_ABORTED', 'the sandbox reset the stream'));
    this.spend('reset');
  }

  #takeWindow(id: number, increment: number): void {
    if (!this.spend('window')) return;
    const stream = this.streams.get(id);
    if (id === 0) {
      if (!this.outflow.grant(increment))
        this.fail({ code: ERROR.flowControl, reason: 'the window is too large' });
    } else if (stream !== undefined) {
      if (this.outflow.grantStream(stream.out, increment)) return;
      this.reset(stream, ERROR.flowControl);
      // The client made us throw the work away, as if it had reset the stream itself.
      this.spend('reset');
    } else if (this.#stateOf(id) === 'idle') {
      this.fail({ code: ERROR.protocol, reason: 'WINDOW_UPDATE on an idle stream' });
    }
  }

  #takeBad(id: number, code: ErrorCode): void {
    const state = this.#stateOf(id);
    // RST_STREAM may not be sent on an idle stream (RFC 9113 §6.4).
    if (state === 'idle') {
      this.fail({ code, reason: 'a bad frame on an idle stream' });
      return;
    }
    const stream = this.streams.get(id);
    if (stream !== undefined) this.reset(stream, code);
    this.spend('reset');
  }

  #takeSettings(values: readonly Setting[]): void {
    if (!this.spend('settings')) return;
    const fault = applySettings(values, this.outflow);
    if (fault !== null) {
      this.fail(fault);
      return;
    }
    this.write(SETTINGS_ACK);
  }

  // The end.

  #credit(bytes: number): void {
    const increment = this.#window.consume(bytes);
    if (increment > 0) this.write(emitWindowUpdate(0, increment));
  }

  #remove(stream: ServerStream): void {
    this.streams.delete(stream.id);
    this.#quietSince = this.#clock.monotonic();
    this.#leaveIfDone();
  }

  /** Says that no more streams are taken, and ends when there are none. */
  #leave(): void {
    this.#leaving = true;
    this.write(emitGoaway(this.#door.lastStream, ERROR.none));
    this.#leaveIfDone();
  }

  #leaveIfDone(): void {
    if (!this.#leaving || this.#over || this.streams.size > 0) return;
    this.#end(new GatewayError('CLIENT_ABORTED', 'the connection has ended'));
  }

  #end(failure: GatewayError): void {
    if (this.#over) return;
    this.#over = true;
    this.#closeStreams(failure);
    this.#batch.flush();
    const socket = this.#socket;
    socket.end();
    socket.resume(); // bytes that nobody reads would turn the close into a reset
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
  }

  #closeStreams(failure: GatewayError): void {
    for (const stream of this.streams.values()) stream.close(failure);
    this.streams.clear();
  }
}

const RESET_TEXT = 'the stream was reset';

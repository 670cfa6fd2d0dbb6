/**
 * Content on its way to a client: what the windows let through, frame by frame, each stream in its turn
 * (RFC 9113 §5.2, §6.9).
 *
 * Pure, sans-io: frames go to a `FrameSink`. A stream holds no more than its owner chose to queue; `write` says when to
 * stop.
 */
import {
  DEFAULT_WINDOW,
  FLAG,
  FRAME_HEADER,
  FRAME_PAYLOAD,
  MAX_WINDOW,
  TYPE,
  writeFrameHeader,
} from './frames.js';

export interface FrameSink {
  /** Takes bytes in any case; false: no more until `drained`. `done` is called when the kernel has them. */
  write(bytes: Buffer, done?: (error?: Error | null) => void): boolean;
}

/** Content of one stream. Made by `Outflow.open`, and nobody else's to change. */
export interface OutStream {
  readonly id: number;
  window: number;
  readonly queue: Buffer[];
  queuedBytes: number;
  ending: Ending | null;
  /** Called when there is room again, after `write` said to stop. */
  onRoom: () => void;
  /** Frames sent. A stream that wants to send, and whose count stands still, is stalled. */
  progress: number;
  /** Bytes on the wire, frame headers included. */
  wireBytes: number;
}

interface Ending {
  /** The frames of a trailer section, or null: the last DATA ends the stream. */
  readonly trailers: Buffer | null;
  readonly done: (error?: Error | null) => void;
}

/** Frames are no longer than this, whatever the client would take: others wait for their turn. */
const LONGEST_FRAME = 65_536;
/** Content up to this size is copied behind its frame header. */
const JOINED_BYTES = 2_048;
/** `write` says to stop when this much is queued. */
const QUEUE_BYTES = 65_536;

export class Outflow {
  readonly #sink: FrameSink;
  readonly #waiting = new Set<OutStream>();
  /** Those that `write` told to stop. */
  readonly #stopped = new Set<OutStream>();
  readonly #streams = new Map<number, OutStream>();
  #window = DEFAULT_WINDOW;
  #initialWindow = DEFAULT_WINDOW;
  #framePayload = FRAME_PAYLOAD;
  #congested = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** What a new stream could send at once. */
  get room(): number {
    return this.#congested ? 0 : Math.min(this.#initialWindow, this.#window, this.#framePayload);
  }

  open(id: number): OutStream {
    const stream: OutStream = {
      id,
      window: this.#initialWindow,
      queue: [],
      queuedBytes: 0,
      ending: null,
      onRoom: () => {},
      progress: 0,
      wireBytes: 0,
    };
    this.#streams.set(id, stream);
    return stream;
  }

  /** Forgets the stream and what it has queued. */
  close(stream: OutStream): void {
    this.#streams.delete(stream.id);
    this.#waiting.delete(stream);
    this.#stopped.delete(stream);
    stream.queue.length = 0;
    stream.queuedBytes = 0;
    stream.ending = null;
  }

  /** Something of it waits for a window, or for the client to read. */
  isHeldUp(stream: OutStream): boolean {
    return this.#waiting.has(stream) || this.#stopped.has(stream);
  }

  /** Sends or queues content. False: stop until `onRoom`. */
  write(stream: OutStream, bytes: Buffer): boolean {
    if (bytes.length > 0) {
      stream.queue.push(bytes);
      stream.queuedBytes += bytes.length;
      this.#waiting.add(stream);
      this.#pump();
    }
    const takesMore = stream.queuedBytes < QUEUE_BYTES && !this.#congested;
    if (!takesMore) this.#stopped.add(stream);
    return takesMore;
  }

  /** Ends the stream behind what is queued. `done` is called when the last byte is the kernel's. */
  end(stream: OutStream, trailers: Buffer | null, done: (error?: Error | null) => void): void {
    stream.ending = { trailers, done };
    this.#waiting.add(stream);
    this.#pump();
  }

  /** An answer that is whole: one write where the windows allow it. `head` is its HEADERS frame. */
  sendWhole(stream: OutStream, head: Buffer, content: Buffer, done: (error?: Error | null) => void): void {
    const fits = content.length <= Math.min(stream.window, this.#window, this.#framePayload);
    if (!fits || this.#congested || content.length > FRAME_PAYLOAD) {
      this.#put(stream, head);
      stream.queue.push(content);
      stream.queuedBytes += content.length;
      this.end(stream, null, done);
      return;
    }
    const at = head.length;
    const whole = Buffer.allocUnsafe(at + FRAME_HEADER + content.length);
    head.copy(whole);
    writeFrameHeader(whole, at, content.length, TYPE.data, FLAG.endStream, stream.id);
    content.copy(whole, at + FRAME_HEADER);
    this.#take(stream, content.length);
    this.#put(stream, whole, done);
  }

  /** WINDOW_UPDATE of the connection; false: the window would be too large. */
  grant(increment: number): boolean {
    this.#window += increment;
    if (this.#window > MAX_WINDOW) return false;
    this.#pump();
    return true;
  }

  /** WINDOW_UPDATE of a stream that is open or half closed; false: the window would be too large. */
  grantStream(stream: OutStream, increment: number): boolean {
    stream.window += increment;
    if (stream.window > MAX_WINDOW) return false;
    this.#pump();
    return true;
  }

  /** SETTINGS_INITIAL_WINDOW_SIZE: open streams change by the difference; false: one would be too large (§6.9.2). */
  setInitialWindow(bytes: number): boolean {
    const change = bytes - this.#initialWindow;
    this.#initialWindow = bytes;
    for (const stream of this.#streams.values()) {
      stream.window += change;
      if (stream.window > MAX_WINDOW) return false;
    }
    this.#pump();
    return true;
  }

  setFramePayload(bytes: number): void {
    this.#framePayload = Math.min(bytes, LONGEST_FRAME);
  }

  /** The sink takes more. */
  drained(): void {
    this.#congested = false;
    this.#pump();
  }

  /** One frame for each stream that can send, in turns, until none can. */
  #pump(): void {
    let moved = true;
    while (moved && !this.#congested) {
      moved = false;
      for (const stream of this.#waiting) {
        if (this.#congested) return;
        if (this.#sendOne(stream)) moved = true;
      }
    }
    this.#release();
  }

  #release(): void {
    for (const stream of this.#stopped) {
      if (this.#congested) return;
      if (stream.queuedBytes >= QUEUE_BYTES) continue;
      this.#stopped.delete(stream);
      stream.onRoom();
    }
  }

  /** Sends one frame of `stream` if it may; then goes to the end of the line, or out of it. */
  #sendOne(stream: OutStream): boolean {
    const [first] = stream.queue;
    if (first === undefined) return this.#sendEnd(stream);
    const size = Math.min(first.length, stream.window, this.#window, this.#framePayload);
    if (size <= 0) return false;
    const isRest = size === first.length;
    if (isRest) stream.queue.shift();
    else stream.queue[0] = first.subarray(size);
    stream.queuedBytes -= size;
    this.#take(stream, size);
    this.#waiting.delete(stream);
    const ending = stream.queue.length === 0 ? stream.ending : null;
    const ends = ending !== null && ending.trailers === null;
    this.#putData(stream, isRest ? first : first.subarray(0, size), ends ? ending.done : null);
    if (stream.queue.length > 0 || (stream.ending !== null && !ends)) this.#waiting.add(stream);
    return true;
  }

  #sendEnd(stream: OutStream): boolean {
    this.#waiting.delete(stream);
    const { ending } = stream;
    if (ending === null) return false;
    if (ending.trailers === null) this.#putData(stream, NOTHING, ending.done);
    else this.#put(stream, ending.trailers, ending.done);
    return true;
  }

  #putData(stream: OutStream, content: Buffer, done: ((error?: Error | null) => void) | null): void {
    const joins = content.length <= JOINED_BYTES;
    const frame = Buffer.allocUnsafe(FRAME_HEADER + (joins ? content.length : 0));
    writeFrameHeader(frame, 0, content.length, TYPE.data, done === null ? 0 : FLAG.endStream, stream.id);
    if (joins) content.copy(frame, FRAME_HEADER);
    this.#put(stream, frame, joins ? done : null);
    if (!joins) this.#put(stream, content, done);
  }

  #put(stream: OutStream, bytes: Buffer, done: ((error?: Error | null) => void) | null = null): void {
    stream.wireBytes += bytes.length;
    stream.progress++;
    if (!this.#sink.write(bytes, done ?? undefined)) this.#congested = true;
  }

  #take(stream: OutStream, bytes: number): void {
    stream.window -= bytes;
    this.#window -= bytes;
  }
}

const NOTHING = Buffer.alloc(0);

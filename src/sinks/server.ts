/**
 * Events for whoever connects: Server-Sent Events (WHATWG HTML §9.2) and WebSocket (RFC 6455), resumed by the id of
 * the last event. A shell: sockets, timers.
 *
 * A reader takes from the ring at its own pace: nothing waits for it, and no more is held for it than its socket takes.
 * One that takes nothing for a while is cut off.
 */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Endpoint } from '../core/address.js';
import type { Event } from '../events/event.js';
import type { Sink } from '../events/feeder.js';
import type { EventFilter } from '../events/filter.js';
import type { EventStore } from '../events/store.js';
import { type Door, type Refused, refusal } from './door.js';
import { type Listening, listenOn } from './listen.js';
import { stepsFrom } from './past.js';
import { EventRing, type RingLimits } from './ring.js';
import { parseWish, type Step, Subscription, type Wish } from './subscription.js';
import type { Listen } from './values.js';

export interface EventServerOptions {
  readonly name: string;
  readonly listen: Listen;
  readonly token: string | null;
  readonly filter: EventFilter | null;
  readonly encode: (event: Event) => string;
  readonly ring: RingLimits;
  /** Readers at a time. */
  readonly readers: number;
  /** How long a reader may take nothing, and the pause between signs of life. */
  readonly stallMs: number;
  readonly beatMs: number;
}

const PATH = '/events';

/** Throws `EVENTS_FAILED`. */
export async function openEventServer(options: EventServerOptions): Promise<EventServer> {
  const server = new EventServer(options);
  await server.listen();
  return server;
}

/** Something that a reader reads: one of the two protocols. */
interface Wire {
  /** False: no more for now; `onRoom` is called once there is room. */
  send(step: Step): boolean;
  beat(): void;
  cut(): void;
}

interface Reader {
  /** Null: fed from the store. */
  readonly subscription: Subscription | null;
  readonly wire: Wire;
  readonly left: AbortController;
  /** Set while the wire has no room. */
  stall: NodeJS.Timeout | null;
  /** Called once there is room, for whoever feeds from the store. */
  onRoom: () => void;
}

export class EventServer implements Sink {
  readonly name: string;
  readonly whenFull = 'drop-and-mark';
  readonly #options: EventServerOptions;
  readonly #ring: EventRing;
  readonly #readers = new Set<Reader>();
  readonly #http: http.Server;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: 1_024,
  });
  readonly #beats: NodeJS.Timeout;
  #listening: Listening | null = null;
  #store: EventStore | null = null;
  #gateway: string | null = null;
  #lastSeq = 0;

  constructor(options: EventServerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#ring = new EventRing(options.ring, options.encode);
    this.#http = http.createServer(
      { maxHeaderSize: 16 * 1024, headersTimeout: 10_000, requestTimeout: 10_000, keepAliveTimeout: 1_000 },
      (request, response) => this.#answer(request, response),
    );
    this.#http.maxConnections = options.readers + SPARE_CONNECTIONS;
    this.#http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) =>
      this.#upgrade(request, socket, head),
    );
    this.#beats = setInterval(() => {
      for (const { wire, stall } of this.#readers) if (stall === null) wire.beat();
    }, options.beatMs).unref();
  }

  /** Where the policy must let nobody. */
  get listensOn(): readonly Endpoint[] {
    const endpoint = this.#listening?.endpoint ?? null;
    return endpoint === null ? [] : [endpoint];
  }

  get readers(): number {
    return this.#readers.size;
  }

  async listen(): Promise<void> {
    this.#listening = await listenOn(this.#http, this.#options.listen);
  }

  useStore(store: EventStore): void {
    this.#store = store;
  }

  write(events: readonly Event[]): void {
    const { filter } = this.#options;
    for (const event of events) {
      this.#gateway = event.gateway_id;
      this.#lastSeq = event.seq;
      if (filter === null || filter(event)) this.#ring.push(event);
    }
    for (const reader of this.#readers) if (reader.stall === null) this.#pump(reader);
  }

  async close(): Promise<void> {
    clearInterval(this.#beats);
    for (const reader of this.#readers) this.#end(reader);
    const closed = this.#listening?.close();
    this.#http.closeAllConnections();
    await closed;
  }

  #pump(reader: Reader): void {
    const { subscription, wire } = reader;
    if (subscription === null) {
      reader.onRoom();
      return;
    }
    for (let step = subscription.next(); step !== null; step = subscription.next()) {
      if (wire.send(step)) continue;
      this.#stall(reader);
      return;
    }
  }

  #stall(reader: Reader): void {
    reader.stall = setTimeout(() => this.#end(reader), this.#options.stallMs).unref();
  }

  #resume(reader: Reader): void {
    if (reader.stall === null || !this.#readers.has(reader)) return;
    clearTimeout(reader.stall);
    reader.stall = null;
    this.#pump(reader);
  }

  #end(reader: Reader): void {
    if (reader.stall !== null) clearTimeout(reader.stall);
    this.#readers.delete(reader);
    reader.left.abort();
    reader.onRoom();
    reader.wire.cut();
  }

  /** Feeds `reader` from the store until it leaves or the store ends. Never rejects. */
  async #follow(reader: Reader, store: EventStore, { place, filter }: Wish): Promise<void> {
    const { encode, filter: own } = this.#options;
    if (place.kind === 'now') return;
    const wanted: EventFilter = event => (own === null || own(event)) && (filter === null || filter(event));
    try {
      for await (const step of stepsFrom({
        store,
        place,
        filter: wanted,
        encode,
        signal: reader.left.signal,
      })) {
        if (reader.wire.send(step)) continue;
        const room = new Promise<void>(resolve => {
          reader.onRoom = resolve;
        });
        this.#stall(reader);
        await room;
        if (reader.left.signal.aborted) return;
      }
    } catch {
      // The store cannot be read any more: whoever runs the gateway is told by the store, the reader by the end.
    } finally {
      this.#end(reader);
    }
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const wish = this.#admit(request);
    if ('status' in wish) {
      response.writeHead(wish.status, headersOf(wish)).end(`${wish.why}\n`);
      return;
    }
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    response.flushHeaders();
    const reader = this.#join(wish, sseWire(response));
    response.on('drain', () => this.#resume(reader));
    response.on('close', () => this.#end(reader));
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const wish = this.#admit(request);
    if ('status' in wish) {
      socket.end(`HTTP/1.1 ${wish.status} ${http.STATUS_CODES[wish.status]}\r\nConnection: close\r\n\r\n`);
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, peer => {
      const reader = this.#join(
        wish,
        webSocketWire(peer, () => this.#resume(reader)),
      );
      peer.on('close', () => this.#end(reader));
      peer.on('error', () => this.#end(reader));
    });
  }

  #join(wish: Wish, wire: Wire): Reader {
    const store = this.#isPast(wish) ? this.#store : null;
    const subscription =
      store === null ? new Subscription(this.#ring, wish, this.#gateway, this.#lastSeq) : null;
    const left = new AbortController();
    const reader: Reader = { subscription, wire, left, stall: null, onRoom: () => undefined };
    this.#readers.add(reader);
    // Later, so that whoever joins holds the reader before anything is sent.
    queueMicrotask(() => {
      if (store === null) this.#pump(reader);
      else void this.#follow(reader, store, wish);
    });
    return reader;
  }

  /** What the reader wants is not in the ring, or may not be all of it. */
  #isPast({ place }: Wish): boolean {
    if (place.kind === 'now') return false;
    if (place.kind === 'start') return true;
    return place.gateway !== this.#gateway || place.seq < this.#ring.lostUpTo;
  }

  #admit({ method, headers, url = '' }: IncomingMessage): Wish | Answered {
    const door: Door = { endpoint: this.#listening?.endpoint ?? null, token: this.#options.token };
    const refused = refusal({ method, headers }, door);
    if (refused !== null) return refused;
    const target = URL.canParse(url, 'http://h') ? new URL(url, 'http://h') : null;
    if (target?.pathname !== PATH) return { status: 404, why: `there is only ${PATH}` };
    if (this.#readers.size >= this.#options.readers) return { status: 503, why: 'too many readers' };
    const id = headers['last-event-id'];
    const wish = parseWish(target.searchParams, typeof id === 'string' ? id : undefined);
    return wish.ok ? wish.value : { status: 400, why: wish.error };
  }
}

type Answered = Omit<Refused, 'status'> & { readonly status: Refused['status'] | 400 | 404 | 503 };

/** For readers that are told that there is no place. */
const SPARE_CONNECTIONS = 16;

function headersOf({ status }: Answered): http.OutgoingHttpHeaders {
  return {
    'content-type': 'text/plain; charset=utf-8',
    'x-content-type-options': 'nosniff',
    connection: 'close',
    ...(status === 401 && { 'www-authenticate': 'Bearer' }),
    ...(status === 405 && { allow: 'GET' }),
  };
}

function sseWire(response: ServerResponse): Wire {
  return {
    send: step => {
      if ('gap' in step) return response.write(`event: gap\ndata: ${JSON.stringify(step.gap)}\n\n`);
      return response.write(`id: ${step.event.id}\ndata: ${step.line}\n`);
    },
    beat: () => void response.write(':\n\n'),
    cut: () => response.destroy(),
  };
}

/** Bytes in a WebSocket's own queue beyond which nothing is added. */
const SOCKET_BYTES = 64 * 1024;

function webSocketWire(peer: WebSocket, onRoom: () => void): Wire {
  let alive = true;
  peer.on('pong', () => {
    alive = true;
  });
  // There is nothing that a reader could say.
  peer.on('message', () => peer.close(1008));
  return {
    send: step => {
      const text = 'gap' in step ? JSON.stringify(step) : step.line.trimEnd();
      peer.send(text, () => {
        if (peer.bufferedAmount < SOCKET_BYTES) onRoom();
      });
      return peer.bufferedAmount < SOCKET_BYTES;
    },
    beat: () => {
      if (!alive) peer.terminate();
      alive = false;
      peer.ping();
    },
    cut: () => peer.terminate(),
  };
}

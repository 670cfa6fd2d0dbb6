/** `GET /metrics` on a unix socket or a port on loopback, for this host's collector. A shell: sockets. */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { Endpoint } from '../core/address.js';
import type { Event } from '../events/event.js';
import type { Sink } from '../events/feeder.js';
import { refusal } from './door.js';
import { type Listening, listenOn } from './listen.js';
import { Metrics, type MetricsOptions, type Watched } from './metrics.js';
import type { Listen } from './values.js';

export interface MetricsServerOptions extends MetricsOptions {
  readonly listen: Listen;
  /** Null: whoever is on this host may scrape. Metrics hold sandboxes' ids and reasons, no hosts and no URLs. */
  readonly token: string | null;
}

/** Metrics and their server: a sink for the bus, a meter for what is no event. Throws `EVENTS_FAILED`. */
export async function openMetrics(options: MetricsServerOptions): Promise<MetricsServer> {
  const server = new MetricsServer(options);
  await server.listen(options.listen);
  return server;
}

const MAX_CONNECTIONS = 16;

export class MetricsServer implements Sink {
  readonly name = 'metrics';
  readonly whenFull = 'drop-and-mark';
  readonly #metrics: Metrics;
  readonly #token: string | null;
  readonly #http: http.Server;
  #listening: Listening | null = null;

  constructor({ token, listen: _, ...options }: MetricsServerOptions) {
    this.#metrics = new Metrics(options);
    this.#token = token;
    const limits = { maxHeaderSize: 8 * 1024, headersTimeout: 10_000, requestTimeout: 10_000 };
    this.#http = http.createServer(limits, (request, response) => void this.#answer(request, response));
    this.#http.maxConnections = MAX_CONNECTIONS;
  }

  get listensOn(): readonly Endpoint[] {
    const endpoint = this.#listening?.endpoint ?? null;
    return endpoint === null ? [] : [endpoint];
  }

  async listen(where: Listen): Promise<void> {
    this.#listening = await listenOn(this.#http, where);
  }

  watch(watched: Watched): void {
    this.#metrics.watch(watched);
  }

  write(events: readonly Event[]): void {
    this.#metrics.write(events);
  }

  scriptCall(hook: string, ms: number): void {
    this.#metrics.scriptCall(hook, ms);
  }

  async close(): Promise<void> {
    const closed = this.#listening?.close();
    this.#http.closeAllConnections();
    await closed;
  }

  async #answer({ method, headers, url }: IncomingMessage, response: ServerResponse): Promise<void> {
    const endpoint = this.#listening?.endpoint ?? null;
    const refused = refusal({ method, headers }, { endpoint, token: this.#token });
    if (refused !== null) return end(response, refused.status, 'text/plain', `${refused.why}\n`);
    if (url !== '/metrics') return end(response, 404, 'text/plain', 'there is only /metrics\n');
    end(response, 200, this.#metrics.contentType, await this.#metrics.text());
  }
}

function end(response: ServerResponse, status: number, type: string, text: string): void {
  response
    .writeHead(status, {
      'content-type': type,
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      ...(status === 405 && { allow: 'GET' }),
      ...(status === 401 && { 'www-authenticate': 'Bearer' }),
    })
    .end(text);
}

/**
 * The control socket of one sandbox: HTTP/1.1 over a Unix socket that only its owner can open (shell: listens).
 *
 * Each stream is a request of its own, so that back-pressure is the kernel's and no stream waits for another.
 */
import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { encodeEvent } from '../events/encode.js';
import { ErrInvalidConfig, ErrVMNotFound, type Machine } from '../vm/index.js';
import { toSnake } from './codec.js';
import type { EventRing } from './event-ring.js';
import { Executions } from './executions.js';
import { socketPath } from './socket-path.js';
import { emitError } from './wire.js';

export interface ControlTarget {
  /** With every command told as an event. Throws `VM_NOT_RUNNING`. */
  readonly machine: Machine;
  readonly events: EventRing;
  info(): object;
  /** Resolves when the machine has ended. */
  stop(graceMs: number): Promise<void>;
  /** Resolves when the machine has ended, with why. */
  wait(): Promise<object>;
}

export interface ControlServer {
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 1024 * 1024;

interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  /** Parts of the path behind the route's. */
  readonly rest: readonly string[];
}

/** Listens at `path`, in a folder of mode 0700. */
export async function serveControl(path: string, target: ControlTarget): Promise<ControlServer> {
  await rm(path, { force: true });
  const reachable = socketPath(path);
  const routes = routesOf(target, new Executions(target.machine));
  const server = createServer((request, response) => void answer(routes, request, response));
  // An upload, a command and a stream of events take as long as they take.
  server.requestTimeout = 0;
  server.timeout = 0;
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(reachable.path, resolve));
  await chmod(path, 0o600);
  return {
    async close() {
      await closeServer(server);
      reachable.release();
      await rm(path, { force: true });
    },
  };
}

async function closeServer(server: Server): Promise<void> {
  const closed = new Promise(resolve => server.close(resolve));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), LAST_WORDS_MS);
  await closed;
  clearTimeout(timer);
}

/** For answers that are on their way when the sandbox ends. */
const LAST_WORDS_MS = 1_000;

type Route = (call: Call) => Promise<void>;

async function answer(
  routes: ReadonlyMap<string, Route>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.on('error', () => {}); // The caller has gone: nobody is there to be told.
  try {
    const url = new URL(request.url ?? '/', 'http://sandbox');
    const [, version, resource = '', ...rest] = url.pathname.split('/');
    const route = version === 'v1' ? routes.get(`${request.method} ${resource}`) : undefined;
    if (route === undefined) throw new ErrVMNotFound(`there is no ${request.method} ${url.pathname}`);
    await route({ request, response, query: url.searchParams, rest });
  } catch (error) {
    if (response.headersSent) return void response.destroy();
    response.writeHead(409, { 'content-type': 'application/json' }).end(emitError(error));
  }
}

function routesOf(target: ControlTarget, executions: Executions): ReadonlyMap<string, Route> {
  const { machine } = target;
  return new Map<string, Route>([
    ['GET info', async ({ response }) => sendJson(response, target.info())],
    ['GET wait', async ({ response }) => sendJson(response, await target.wait())],
    [
      'POST stop',
      async ({ response, query }) => {
        await target.stop(Number(query.get('grace_ms') ?? 0));
        sendJson(response, {});
      },
    ],
    ['POST exec', async call => await executions.post(call.rest, call, () => body(call.request))],
    ['GET exec', async ({ rest, response }) => await executions.read(rest, response)],
    ['PUT exec', async ({ rest, request, response }) => await executions.write(rest, request, response)],
    [
      'PUT files',
      async ({ request, response, query }) => {
        const mode = query.get('mode');
        const options = mode === null ? {} : { mode: Number.parseInt(mode, 8) };
        await machine.writeFile(pathOf(query), request, options);
        sendJson(response, {});
      },
    ],
    ['GET files', async ({ response, query }) => await sendFile(response, machine, pathOf(query))],
    ['GET list', async ({ response, query }) => sendJson(response, await machine.listFiles(pathOf(query)))],
    [
      'GET search',
      async ({ response, query }) => {
        sendJson(response, await machine.searchFiles(pathOf(query), query.get('pattern') ?? ''));
      },
    ],
    [
      'GET events',
      async ({ response, query }) => await sendEvents(response, target.events, query.get('after')),
    ],
  ]);
}

function pathOf(query: URLSearchParams): string {
  const path = query.get('path') ?? '';
  if (path.startsWith('/') && !path.includes('\0')) return path;
  throw new ErrInvalidConfig('a path of the sandbox is absolute, and holds no NUL');
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(toSnake(value)));
}

/** What fails before the first byte is an error with its code; what fails later is a stream that breaks. */
async function sendFile(response: ServerResponse, machine: Machine, path: string): Promise<void> {
  const stream = await machine.readFileStream(path);
  const chunks = stream[Symbol.asyncIterator]();
  const first = await chunks.next();
  response.writeHead(200, { 'content-type': 'application/octet-stream' });
  await pipeline(async function* () {
    if (first.done !== true) yield first.value as Buffer;
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next())
      yield next.value as Buffer;
  }, response);
}

async function sendEvents(response: ServerResponse, events: EventRing, after: string | null): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.flushHeaders();
  const from = after === null ? events.lastSeq : Number(after);
  await pipeline(async function* () {
    for await (const event of events.after(from, gone.signal)) yield encodeEvent(event);
  }, response);
}

async function body(request: IncomingMessage): Promise<string> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw new ErrInvalidConfig(TOO_LARGE);
  return await text(request);
}

const TOO_LARGE = `a request has at most ${MAX_BODY_BYTES} bytes`;

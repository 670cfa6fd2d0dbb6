/** The kinds of load, each measured from when its connections stand (shell: sockets, time). */
import { once } from 'node:events';
import { Client } from './client.js';
import { FILES_HOST, type Outcome, type Route, SINK_HOST, visitedHost, type Work } from './command.js';
import { h2load } from './h2load.js';
import { openTls } from './open.js';
import { makePattern, PERIOD } from './pattern.js';
import { Tally } from './tally.js';

const SMALL = 1024;
/** In a sandbox the placeholder, elsewhere something of its length. */
const token = (): string => process.env.BENCH_TOKEN ?? '';

type Of<K extends Work['kind']> = Extract<Work, { kind: K }>;

/** Calls `begin` when the clock starts. */
export function perform(work: Work, route: Route, begin: () => void): Promise<Outcome> {
  switch (work.kind) {
    case 'keep-alive':
      return keepAlive(work, route, begin);
    case 'handshakes':
      return handshakes(work, route, begin);
    case 'first-visits':
      return firstVisits(work, route, begin);
    case 'download':
      return download(work, route, begin);
    case 'upload':
      return upload(work, route, begin);
    case 'idle':
      return idle(work, route, begin);
    case 'h2':
      return h2load(work, route, token(), begin);
  }
}

function get(host: string, path: string): Buffer {
  return Buffer.from(
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: bench\r\nAccept: */*\r\nAuthorization: Bearer ${token()}\r\n\r\n`,
  );
}

/** The name as it stands in Host: the port too, where it is not the scheme's own. */
function named(host: string, port: number): string {
  return port === 443 ? host : `${host}:${port}`;
}

async function keepAlive(
  { clients, seconds }: Of<'keep-alive'>,
  route: Route,
  begin: () => void,
): Promise<Outcome> {
  const request = get(named(FILES_HOST, route.filesPort), '/1k');
  const open = await Promise.all(
    Array.from(
      { length: clients },
      async () => new Client(await openTls(route, FILES_HOST, route.filesPort)),
    ),
  );
  begin();
  const tally = new Tally();
  const end = performance.now() + seconds * 1000;
  await Promise.all(
    open.map(
      client =>
        new Promise<void>(resolve => {
          const next = (): void => {
            const start = performance.now();
            if (start >= end) {
              resolve();
              return;
            }
            client.request(request, SMALL, fault => {
              tally.note(fault, start, SMALL);
              // A connection that failed once is not tried again: the error is counted, not multiplied.
              if (fault === null) next();
              else resolve();
            });
          };
          next();
        }),
    ),
  );
  const outcome = tally.outcome();
  for (const client of open) client.close();
  return outcome;
}

async function visit(route: Route, host: string, tally: Tally): Promise<void> {
  const start = performance.now();
  try {
    const client = new Client(await openTls(route, host, route.filesPort));
    const fault = await new Promise<string | null>(resolve => {
      client.request(get(named(host, route.filesPort), '/1k'), SMALL, resolve);
    });
    tally.note(fault, start, SMALL);
    client.close();
  } catch (error) {
    tally.note(faultOf(error), start, 0);
  }
}

async function handshakes(
  { clients, seconds }: Of<'handshakes'>,
  route: Route,
  begin: () => void,
): Promise<Outcome> {
  begin();
  const tally = new Tally();
  const end = performance.now() + seconds * 1000;
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (performance.now() < end) await visit(route, FILES_HOST, tally);
    }),
  );
  return tally.outcome();
}

/** One after the other, each a name that nobody has asked for yet. */
async function firstVisits(
  { from, hosts }: Of<'first-visits'>,
  route: Route,
  begin: () => void,
): Promise<Outcome> {
  begin();
  const tally = new Tally();
  for (let number = from; number < from + hosts; number++) await visit(route, visitedHost(number), tally);
  return tally.outcome();
}

async function download({ path, bytes }: Of<'download'>, route: Route, begin: () => void): Promise<Outcome> {
  const client = new Client(await openTls(route, FILES_HOST, route.filesPort));
  begin();
  const tally = new Tally();
  const start = performance.now();
  const fault = await new Promise<string | null>(resolve => {
    client.request(get(named(FILES_HOST, route.filesPort), path), bytes, resolve);
  });
  tally.note(fault, start, bytes);
  client.close();
  return tally.outcome();
}

const PIECE = 1 << 16;

async function upload({ bytes, chunked }: Of<'upload'>, route: Route, begin: () => void): Promise<Outcome> {
  const client = new Client(await openTls(route, SINK_HOST, route.sinkPort));
  const { socket } = client;
  const pattern = makePattern();
  begin();
  const tally = new Tally();
  const start = performance.now();
  const framing = chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${bytes}`;
  const head = `POST /sink HTTP/1.1\r\nHost: ${named(SINK_HOST, route.sinkPort)}\r\nContent-Type: application/octet-stream\r\nAuthorization: Bearer ${token()}\r\n${framing}\r\n\r\n`;
  let settled = false;
  const answer = new Promise<string | null>(resolve => {
    client.request(Buffer.from(head), 0, fault => {
      settled = true;
      resolve(fault);
    });
  });
  const size = Buffer.from(`${PIECE.toString(16)}\r\n`);
  for (let at = 0; at < bytes && !settled; at += PIECE) {
    if (chunked) {
      socket.cork();
      socket.write(size);
    }
    const offset = at % PERIOD;
    let takesMore = socket.write(pattern.subarray(offset, offset + PIECE));
    if (chunked) {
      takesMore = socket.write('\r\n');
      socket.uncork();
    }
    if (!takesMore) await Promise.race([once(socket, 'drain'), answer]);
  }
  if (chunked && !settled) socket.write('0\r\n\r\n');
  // The sink says 200 only for exactly the bytes that it was promised.
  tally.note(await answer, start, bytes);
  client.close();
  return tally.outcome();
}

/** Connections that have made one request and stay; they are closed by the next work. */
const resting: Client[] = [];

async function idle({ clients }: Of<'idle'>, route: Route, begin: () => void): Promise<Outcome> {
  for (const client of resting.splice(0)) client.close();
  begin();
  const tally = new Tally();
  for (let number = 0; number < clients; number += 20) {
    await Promise.all(Array.from({ length: Math.min(20, clients - number) }, () => rest(route, tally)));
  }
  return tally.outcome();
}

async function rest(route: Route, tally: Tally): Promise<void> {
  const start = performance.now();
  try {
    const client = new Client(await openTls(route, FILES_HOST, route.filesPort));
    resting.push(client);
    const fault = await new Promise<string | null>(resolve => {
      client.request(get(named(FILES_HOST, route.filesPort), '/1k'), SMALL, resolve);
    });
    tally.note(fault, start, SMALL);
  } catch (error) {
    tally.note(faultOf(error), start, 0);
  }
}

function faultOf(error: unknown): string {
  if (error instanceof Error) return (error as NodeJS.ErrnoException).code ?? error.message;
  return 'unknown';
}

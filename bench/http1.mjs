/**
 * The HTTP/1.1 codec against Node's: the same relay, guest to upstream over loopback TCP, once with each. A child
 * process is both the upstream (canned answers) and the load; the parent relays and measures its own CPU.
 *
 *     npm run build && node bench/http1.mjs [seconds per round] [rounds]
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { Http1Connection } from '../dist/proxy/http1/client.js';
import { serveHttp1 } from '../dist/proxy/http1/server.js';

const CONTENT = Buffer.alloc(1024, 'x');
const ANSWER = Buffer.concat([
  Buffer.from(
    'HTTP/1.1 200 OK\r\nServer: canned\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\nETag: "1"\r\nCache-Control: no-store\r\n\r\n',
  ),
  CONTENT,
]);
const REQUEST = Buffer.from(
  'GET /v1/things?limit=10 HTTP/1.1\r\nHost: allowed.test\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: identity\r\nAuthorization: Bearer 0123456789abcdef0123456789abcdef\r\n\r\n',
);

/** Whole messages of `end`'s kind in a stream that is cut anywhere: counts, for bytes that are known. */
function countBytes(size, onWhole) {
  let seen = 0;
  return chunk => {
    seen += chunk.length;
    for (; seen >= size; seen -= size) onWhole();
  };
}

async function child() {
  const upstream = net.createServer({ noDelay: true }, socket => {
    socket.on('error', () => {});
    let tail = '';
    socket.on('data', chunk => {
      const text = tail + chunk.toString('latin1');
      const heads = text.split('\r\n\r\n');
      tail = heads.pop() ?? '';
      if (heads.length > 0)
        socket.write(heads.length === 1 ? ANSWER : Buffer.concat(heads.map(() => ANSWER)));
    });
  });
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  process.send({ upstream: upstream.address().port });
  process.on('message', async ({ port, clients, ms, size }) => {
    let count = 0;
    let open = true;
    const sockets = Array.from({ length: clients }, () => {
      const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
      socket.on('error', () => {});
      socket.on(
        'data',
        countBytes(size, () => {
          count += 1;
          if (open) socket.write(REQUEST);
        }),
      );
      socket.write(REQUEST);
      return socket;
    });
    await new Promise(resolve => setTimeout(resolve, ms));
    open = false;
    for (const socket of sockets) socket.destroy();
    process.send({ count });
  });
}

function ours(upstream) {
  const idle = [];
  const take = async () => {
    for (let kept = idle.pop(); kept !== undefined; kept = idle.pop()) if (kept.ready) return kept;
    const socket = net.connect({ port: upstream, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    await once(socket, 'connect');
    return new Http1Connection(socket);
  };
  const address = { family: 4, bytes: Uint8Array.of(198, 18, 0, 7), text: '198.18.0.7' };
  const facts = { mode: 'transparent', scheme: 'http', name: null, target: { address, port: 80 } };
  const onExchange = async exchange => {
    const { head, body, trailers } = exchange.request;
    const connection = await take();
    const request = {
      head,
      headers: head.headers,
      sensitive: new Set(),
      path: head.path,
      host: 'allowed.test',
      body,
      trailers,
    };
    const answer = await connection.send({ ...request, inform: () => {} }, exchange.signal);
    idle.push(connection);
    await exchange.respond(answer);
  };
  return net.createServer({ noDelay: true, allowHalfOpen: true }, socket => {
    void serveHttp1(socket, { ...facts, onExchange, onFault: () => null });
  });
}

function nodes(upstream) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1000, noDelay: true });
  return http.createServer((request, response) => {
    const outgoing = http.request(
      {
        port: upstream,
        host: '127.0.0.1',
        method: request.method,
        path: request.url,
        headers: request.rawHeaders,
        agent,
        setHost: false,
      },
      answer => {
        response.writeHead(answer.statusCode, answer.statusMessage, answer.rawHeaders);
        answer.pipe(response);
      },
    );
    // The load goes away in the middle of its last request.
    outgoing.on('error', () => response.destroy());
    request.pipe(outgoing);
  });
}

/** Bytes of one relayed answer: Node adds fields of its own. */
async function answerSize(port) {
  const socket = net.connect({ port, host: '127.0.0.1' });
  socket.write(REQUEST);
  let text = '';
  for await (const chunk of socket) {
    text += chunk.toString('latin1');
    const end = text.indexOf('\r\n\r\n');
    if (end >= 0 && text.length >= end + 4 + CONTENT.length) break;
  }
  socket.destroy();
  return text.length;
}

async function measure(server, load, clients, ms) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  const size = await answerSize(port);
  const before = process.cpuUsage();
  load.send({ port, clients, ms, size });
  const [{ count }] = await once(load, 'message');
  const { user, system } = process.cpuUsage(before);
  server.closeAllConnections?.();
  server.close();
  return { rate: (count * 1000) / ms, cpu: (user + system) / count };
}

const median = values => values.toSorted((a, b) => a - b)[values.length >> 1];

async function parent() {
  const ms = Number(process.argv[2] ?? 3) * 1000;
  const rounds = Number(process.argv[3] ?? 5);
  const load = fork(new URL(import.meta.url), ['child']);
  const [{ upstream }] = await once(load, 'message');
  const makers = { 'own codec': ours, 'node:http': nodes };
  for (const clients of [1, 16, 64]) {
    const results = new Map(Object.keys(makers).map(name => [name, []]));
    for (let round = -1; round < rounds; round++) {
      for (const [name, make] of Object.entries(makers)) {
        const result = await measure(make(upstream), load, clients, round < 0 ? 1000 : ms);
        if (round >= 0) results.get(name).push(result);
      }
    }
    for (const [name, all] of results) {
      const rate = median(all.map(result => result.rate));
      const cpu = median(all.map(result => result.cpu));
      console.log(
        `${String(clients).padStart(2)} clients  ${name.padEnd(10)} ${rate.toFixed(0).padStart(7)} requests/s  ${cpu.toFixed(1)} CPU µs each`,
      );
    }
  }
  load.kill();
}

if (process.argv[2] === 'child') await child();
else await parent();

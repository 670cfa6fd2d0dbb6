// What Node itself costs: TLS ended on both sides, upstream connections kept, nothing read but how long an answer is.
// It judges nothing, mints one leaf, and keeps no record: nobody may use it, but nobody can be cheaper in Node.
//     node floor.mjs PORT LEAF LEAF-KEY UPSTREAM-CA FILES-PORT SINK-PORT
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';

const [port, leaf, leafKey, upstreamCa, filesPort, sinkPort] = process.argv.slice(2);
const BUFFER_BYTES = 1 << 18;
const own = tls.createSecureContext({ cert: readFileSync(leaf), key: readFileSync(leafKey) });
const theirs = tls.createSecureContext({ ca: readFileSync(upstreamCa) });
/** Idle upstream connections, by name and port. */
const idle = new Map();

net
  .createServer({ noDelay: true, highWaterMark: BUFFER_BYTES }, socket => {
    socket.on('error', () => undefined);
    socket.once('data', head => connect(socket, head.toString('latin1')));
  })
  .listen(Number(port), '127.0.0.1');

function connect(socket, head) {
  const [, host, to = ''] = /^CONNECT ([^:]+):(\d+)/.exec(head) ?? [];
  if (to !== filesPort && to !== sinkPort) return socket.destroy();
  socket.write('HTTP/1.1 200 OK\r\n\r\n');
  const client = new tls.TLSSocket(socket, {
    isServer: true,
    secureContext: own,
    highWaterMark: BUFFER_BYTES,
  });
  client.on('error', () => undefined);
  relay(client, `${host}:${to}`, host, Number(to));
}

function relay(client, key, host, to) {
  const upstream = idleOf(key) ?? dial(host, to);
  let left = 0;
  const onAnswer = chunk => {
    left = left > 0 ? left - chunk.length : lengthOf(chunk);
    if (!client.write(chunk)) upstream.pause();
  };
  const onRequest = chunk => {
    if (!upstream.write(chunk)) client.pause();
  };
  const resume = () => client.resume();
  const end = () => client.destroy();
  upstream.on('data', onAnswer).on('drain', resume).resume();
  client.on('data', onRequest).on('drain', () => upstream.resume());
  client.once('close', () => {
    upstream.off('data', onAnswer).off('drain', resume).off('close', end);
    if (left !== 0 || upstream.destroyed) return upstream.destroy();
    if (!idle.has(key)) idle.set(key, []);
    idle.get(key).push(upstream);
  });
  client.once('end', () => client.end());
  upstream.once('close', end);
}

/** One that the upstream has not closed meanwhile: nginx does after five minutes. */
function idleOf(key) {
  const kept = idle.get(key) ?? [];
  let upstream = kept.pop();
  while (upstream?.destroyed) upstream = kept.pop();
  return upstream;
}

function dial(host, to) {
  const socket = net.connect({ host: '127.0.0.1', port: to, noDelay: true, highWaterMark: BUFFER_BYTES });
  const secured = tls.connect({
    socket,
    servername: host,
    secureContext: theirs,
    highWaterMark: BUFFER_BYTES,
  });
  return secured.on('error', () => undefined);
}

/** What is left of the content behind the head that a chunk begins with. */
function lengthOf(chunk) {
  const end = chunk.indexOf('\r\n\r\n');
  const [, length = '0'] = /content-length: (\d+)/i.exec(chunk.toString('latin1', 0, end)) ?? [];
  return Number(length) - (chunk.length - end - 4);
}

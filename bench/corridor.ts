/**
 * What one kept-alive request costs in the corridor's own code: the whole gateway in this process, with memory in
 * place of sockets and no TLS, so that neither the kernel nor OpenSSL is measured. Prints processor time a request,
 * the least tenth of many windows, with everything on and with everything off, in turn.
 *
 *     npx tsc -p tsconfig.tools.json && node .cache/tools/bench/corridor.js [WINDOWS] [all|off]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { addressFromBytes } from '../src/core/address.js';
import { systemClock } from '../src/core/clock.js';
import { parseHostname } from '../src/core/host.js';
import { openFileSink } from '../src/events/file-sink.js';
import { type Admitted, createGateway, type Gateway } from '../src/gateway.js';
import { documentFrom } from '../src/policy/document.js';
import { Ca } from '../src/proxy/tls/ca.js';
import { trustRoots } from '../src/proxy/upstream/trust.js';
import { FILES_HOST } from './load/command.js';
import { makePattern } from './load/pattern.js';
import { literalsOf, policyOf } from './peers/setup.js';

const WINDOW = 500;
const LOOPBACK = addressFromBytes(Uint8Array.of(127, 0, 0, 1));
const ANSWER = Buffer.concat([
  Buffer.from(
    'HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Fri, 27 Nov 2026 08:00:00 GMT\r\nContent-Type: text/plain\r\n' +
      'Content-Length: 1024\r\nLast-Modified: Fri, 27 Nov 2026 07:00:00 GMT\r\nConnection: keep-alive\r\n' +
      'ETag: "6743d3c1-400"\r\nAccept-Ranges: bytes\r\n\r\n',
  ),
  makePattern().subarray(0, 1024),
]);

/** One end of a connection that is memory. What is written is given to `onWrite` in the same turn. */
class MemorySocket extends Duplex {
  onWrite: (bytes: Buffer) => void = () => undefined;

  constructor() {
    super({ highWaterMark: 1 << 18, decodeStrings: true, allowHalfOpen: true });
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.onWrite(chunk);
    // As a socket does: the write has gone, its caller is told a turn later.
    setImmediate(done);
  }
}

/** An upstream that answers each write with the same bytes. */
function answering(): Socket {
  const socket = new MemorySocket();
  socket.onWrite = () => setImmediate(() => socket.push(ANSWER));
  process.nextTick(() => socket.emit('connect'));
  return socket as unknown as Socket;
}

interface Corridor {
  /** Makes one request and waits for its answer. */
  request(): Promise<void>;
  readonly gateway: Gateway;
}

async function open(all: boolean, folder: string): Promise<Corridor> {
  const document = documentFrom(policyOf({ port: 80, all, allowHttp: true }), 'bench');
  if (!document.ok) throw new Error(JSON.stringify(document.error));
  const log = { path: join(folder, 'events.jsonl'), clock: systemClock };
  const gateway = await createGateway({
    layers: [document.value],
    ca: Ca.ephemeral(),
    trust: trustRoots([]),
    env: Object.fromEntries(literalsOf()),
    dialler: answering,
    sinks: all ? [await openFileSink(log)] : [],
  });
  const admitted = gateway.admit('bench');
  const token = admitted.environment(Object.fromEntries(literalsOf())).BENCH_TOKEN ?? '';
  const head = `GET /1k HTTP/1.1\r\nHost: ${FILES_HOST}\r\nUser-Agent: bench\r\nAccept: */*\r\nAuthorization: Bearer ${token}\r\n\r\n`;
  return { gateway, request: requester(admitted.accept, Buffer.from(head)) };
}

function requester(accept: Admitted['accept'], bytes: Buffer): () => Promise<void> {
  const socket = new MemorySocket();
  const name = parseHostname(FILES_HOST);
  if (!name.ok) throw new Error(name.error);
  const target = { address: LOOPBACK, port: 80 };
  void accept({
    id: 'f1',
    sandbox: 'bench',
    source: target,
    target: { address: addressFromBytes(Uint8Array.of(198, 18, 0, 1)), port: 80 },
    host: name.value,
    accept: () => socket,
    refuse: () => socket.destroy(),
  });
  return () =>
    new Promise((resolve, reject) => {
      socket.onWrite = answer => {
        if (answer.toString('latin1', 0, 15) === 'HTTP/1.1 200 OK') resolve();
        else reject(new Error(`not the answer: ${answer.toString('latin1', 0, 400)}`));
      };
      setImmediate(() => socket.push(bytes));
    });
}

/** Microseconds of this process a request, over one window. */
async function windowOf(corridor: Corridor): Promise<number> {
  const before = process.cpuUsage();
  for (let i = 0; i < WINDOW; i++) await corridor.request();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / WINDOW;
}

/** What the same loop costs with nobody in between. */
async function emptyWindow(): Promise<number> {
  const before = process.cpuUsage();
  for (let i = 0; i < WINDOW; i++) {
    await new Promise<void>(resolve => setImmediate(() => setImmediate(() => setImmediate(resolve))));
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / WINDOW;
}

const [windows = '120', only = ''] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'sallyport-corridor-'));
const names = ['all', 'off'].filter(name => only === '' || only === name);
const corridors = await Promise.all(names.map(name => open(name === 'all', folder)));
const costs: number[][] = names.map(() => []);
const empty: number[] = [];
for (let round = 0; round < Number(windows); round++) {
  empty.push(await emptyWindow());
  for (const [at, corridor] of corridors.entries()) costs[at]?.push(await windowOf(corridor));
}
const least = (all: readonly number[]): number =>
  [...all].sort((a, b) => a - b)[Math.floor(all.length / 10)] ?? Number.NaN;
for (const [at, name] of names.entries()) {
  console.log(`${name}: ${(least(costs[at] ?? []) - least(empty)).toFixed(1)} CPU µs a request`);
}
for (const { gateway } of corridors) await gateway.close();
rmSync(folder, { recursive: true, force: true });

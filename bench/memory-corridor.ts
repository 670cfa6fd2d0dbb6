/**
 * A whole gateway in this process with memory in place of sockets and no TLS: what is measured of it is the corridor's
 * own code, neither the kernel nor OpenSSL.
 */
import type { Socket } from 'node:net';
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

export interface Corridor {
  /** Each makes one request of its sandbox and waits for the answer. */
  readonly requests: readonly (() => Promise<void>)[];
  readonly gateway: Gateway;
}

/** `all`: rules, secrets, the event log. `connections`: of all sandboxes together, a multiple of their number. */
export async function openCorridor(
  all: boolean,
  folder: string,
  sandboxes = 1,
  connections = sandboxes,
): Promise<Corridor> {
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
  const admitted = Array.from({ length: sandboxes }, (_, number) => gateway.admit(`bench${number}`));
  const requests = Array.from({ length: connections / sandboxes }, () => admitted.map(requester)).flat();
  return { gateway, requests };
}

function requester({ id, accept, environment }: Admitted): () => Promise<void> {
  const token = environment(Object.fromEntries(literalsOf())).BENCH_TOKEN ?? '';
  const head = `GET /1k HTTP/1.1\r\nHost: ${FILES_HOST}\r\nUser-Agent: bench\r\nAccept: */*\r\nAuthorization: Bearer ${token}\r\n\r\n`;
  const bytes = Buffer.from(head);
  const socket = new MemorySocket();
  const name = parseHostname(FILES_HOST);
  if (!name.ok) throw new Error(name.error);
  const target = { address: LOOPBACK, port: 80 };
  void accept({
    id: 'f1',
    sandbox: id,
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

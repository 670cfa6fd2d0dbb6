/** A real nats-server on loopback, with JetStream on disk; it is killed and comes back. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { systemClock } from '../../src/core/clock.js';
import { createBus } from '../../src/events/bus.js';
import { encodeEvent } from '../../src/events/encode.js';
import type { Event } from '../../src/events/event.js';
import { trustRoots } from '../../src/proxy/upstream/trust.js';
import { Delivery } from '../../src/sinks/delivery.js';
import { createNats, type NatsOptions, subjectOf } from '../../src/sinks/nats.js';
import { allowedBody, numbered } from '../support/events.js';
import { issue, makeTestCa } from '../support/tls.js';

const STREAM = { name: 'EVENTS', create: { duplicateWindowMs: 600_000 } };
let folder: string;
let port: number;
let broker: ChildProcess | null = null;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-nats-'));
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  port = (probe.address() as AddressInfo).port;
  await new Promise(resolve => probe.close(resolve));
});

afterEach(async () => {
  await stop();
  await rm(folder, { recursive: true });
});

async function start(extra = ''): Promise<void> {
  const config = join(folder, 'nats.conf');
  writeFileSync(config, `listen: "127.0.0.1:${port}"\njetstream { store_dir: "${folder}/js" }\n${extra}\n`);
  broker = spawn('nats-server', ['-c', config], {
    stdio: 'ignore',
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
  });
  for (;;) {
    const socket = net.connect(port, '127.0.0.1');
    const up = await new Promise<boolean>(resolve => {
      socket.once('data', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (up) return;
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

async function stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  const running = broker;
  broker = null;
  if (running === null || running.exitCode !== null || running.signalCode !== null) return;
  running.kill(signal);
  await once(running, 'exit');
}

function transport(differs: Partial<NatsOptions> = {}) {
  return createNats({
    url: new URL(`nats://127.0.0.1:${port}`),
    subject: 'sallyport.events',
    stream: STREAM,
    login: null,
    encode: encodeEvent,
    timeoutMs: 5_000,
    ...differs,
  });
}

/** What the stream holds, as somebody else reads it. */
async function held(): Promise<{
  readonly ids: string[];
  readonly events: Event[];
  readonly subjects: string[];
}> {
  const connection = await connect({ servers: `127.0.0.1:${port}`, reconnect: false });
  try {
    const manager = await jetstreamManager(connection);
    const { state } = await manager.streams.info('EVENTS');
    const consumer = await jetstream(connection).consumers.get('EVENTS');
    const found = { ids: [] as string[], events: [] as Event[], subjects: [] as string[] };
    while (found.ids.length < state.messages) {
      for await (const message of await consumer.fetch({ max_messages: 500, expires: 1_000 })) {
        found.ids.push(message.headers?.get('Nats-Msg-Id') ?? '');
        found.events.push(message.json<Event>());
        found.subjects.push(message.subject);
      }
    }
    return found;
  } finally {
    await connection.close();
  }
}

const batch = (from: number, to: number): Event[] =>
  Array.from({ length: to - from + 1 }, (_, i) => numbered(allowedBody(), from + i));
const forever = new AbortController().signal;

test('a batch is in the stream when it is acknowledged, each event once under its id, however often it is sent', async () => {
  await start();
  const nats = transport();
  for (let i = 0; i < 3; i++)
    expect(await nats.deliver(batch(1, 50), forever)).toEqual({ ok: true, value: undefined });
  expect(await nats.deliver(batch(40, 60), forever)).toMatchObject({ ok: true });
  await nats.close?.();
  const { ids, events } = await held();
  expect(ids).toEqual(batch(1, 60).map(({ id }) => id));
  expect(events).toEqual(batch(1, 60));
});

test('across a broker that is killed again and again JetStream holds every event exactly once', async () => {
  await start();
  const delivery = new Delivery({
    settings: {
      name: 'nats',
      whenFull: 'block',
      filter: null,
      batchEvents: 50,
      waitMs: 1,
      firstPauseMs: 20,
      mostPauseMs: 100,
      giveUpMs: null,
      timeoutMs: 2_000,
    },
    transport: transport({ timeoutMs: 1_000 }),
    deadLetters: null,
    clock: systemClock,
    onTrouble: () => undefined,
  });
  const bus = createBus({ clock: systemClock, sinks: [delivery] });
  let emitted = 0;
  const emit = (many: number): void => {
    for (let i = 0; i < many; i++, emitted++) bus.emit(allowedBody());
  };
  for (let round = 0; round < 4; round++) {
    emit(400);
    // In the middle of the work: some are sent and not acknowledged.
    while (delivery.counts.delivered < emitted - 300) await new Promise(resolve => setTimeout(resolve, 1));
    await stop('SIGKILL');
    emit(100);
    await new Promise(resolve => setTimeout(resolve, 100));
    await start();
  }
  while (delivery.counts.delivered < emitted) await new Promise(resolve => setTimeout(resolve, 10));
  await bus.close();
  expect(bus.counts).toMatchObject({ emitted, dropped: 0 });
  const { events } = await held();
  expect(events.map(({ seq }) => seq).sort((a, b) => a - b)).toEqual(
    Array.from({ length: emitted }, (_, i) => i + 1),
  );
}, 60_000);

test('a broker that is not there, and one that never answers, are faults that may pass', async () => {
  const nats = transport();
  expect(await nats.deliver(batch(1, 1), forever)).toMatchObject({
    ok: false,
    error: { final: false, message: expect.stringMatching(/^the broker cannot be reached \(\w+\)$/) },
  });
  await nats.close?.();
  const silent = net.createServer().listen(port, '127.0.0.1');
  await once(silent, 'listening');
  const sockets: net.Socket[] = [];
  silent.on('connection', socket => sockets.push(socket));
  const abort = new AbortController();
  const waiting = transport();
  const attempt = waiting.deliver(batch(1, 1), abort.signal);
  while (sockets.length === 0) await new Promise(resolve => setTimeout(resolve, 5));
  abort.abort();
  expect(await attempt).toMatchObject({ ok: false, error: { final: false } });
  await waiting.close?.();
  for (const socket of sockets) socket.destroy();
  await new Promise(resolve => silent.close(resolve));
});

test('a stream that is not there is a fault, and not made unless that is asked for', async () => {
  await start();
  const nats = transport({ stream: { name: 'EVENTS', create: null } });
  expect(await nats.deliver(batch(1, 2), forever)).toMatchObject({ ok: false, error: { final: false } });
  await nats.close?.();
  const maker = transport();
  expect(await maker.deliver(batch(1, 2), forever)).toMatchObject({ ok: true });
  await maker.close?.();
  const again = transport({ stream: { name: 'EVENTS', create: null } });
  expect(await again.deliver(batch(1, 3), forever)).toMatchObject({ ok: true });
  await again.close?.();
  // Another stream than the one that was named takes nothing.
  const other = transport({ stream: { name: 'OTHER', create: null } });
  expect(await other.deliver(batch(4, 4), forever)).toMatchObject({ ok: false });
  await other.close?.();
  expect((await held()).ids).toHaveLength(3);
});

test('subjects are made of the event’s words, each one token', async () => {
  await start();
  const nats = transport({ subject: 's.{gateway}.{sandbox}.{type}' });
  expect(await nats.deliver(batch(1, 1), forever)).toMatchObject({ ok: true });
  await nats.close?.();
  expect((await held()).subjects).toEqual(['s.g1.sb1.request_done']);
  const hostile = { ...numbered(allowedBody(), 1), sandbox: 'a.>\r\nPUB x 0\r\n*' };
  expect(subjectOf('s.{sandbox}', hostile)).toBe('s.a____PUB_x_0___');
  expect(subjectOf('s.{sandbox}', { ...hostile, sandbox: null })).toBe('s.none');
});

test('a login that is wrong is a fault, the right one is let in', async () => {
  await start('authorization { user: writer, password: "s3cret" }');
  const wrong = transport({ login: { kind: 'user', user: 'writer', password: 'other' } });
  const refused = await wrong.deliver(batch(1, 1), forever);
  expect(refused).toMatchObject({ ok: false, error: { final: false } });
  expect(JSON.stringify(refused)).not.toContain('other');
  await wrong.close?.();
  const right = transport({ login: { kind: 'user', user: 'writer', password: 's3cret' } });
  expect(await right.deliver(batch(1, 1), forever)).toMatchObject({ ok: true });
  await right.close?.();
});

test.each([
  ['the right name and authority', ['127.0.0.1'], true, true],
  ['another name', ['other.test'], true, false],
  ['an authority that is not trusted', ['127.0.0.1'], false, false],
])('over TLS with %s', async (_name, names, trusted, want) => {
  const ca = makeTestCa();
  const { keyPem, certPem } = issue(ca, { names });
  writeFileSync(join(folder, 'key.pem'), keyPem, { mode: 0o600 });
  writeFileSync(join(folder, 'cert.pem'), certPem);
  await start(`tls { cert_file: "${folder}/cert.pem", key_file: "${folder}/key.pem" }`);
  const { context } = trustRoots([trusted ? ca.certPem : makeTestCa().certPem]);
  const nats = transport({ url: new URL(`tls://127.0.0.1:${port}`), secureContext: context });
  expect((await nats.deliver(batch(1, 1), forever)).ok).toBe(want);
  await nats.close?.();
});

test('a broker without TLS gets nothing where TLS was asked for', async () => {
  await start();
  const { context } = trustRoots([makeTestCa().certPem]);
  const nats = transport({ url: new URL(`tls://127.0.0.1:${port}`), secureContext: context });
  expect(await nats.deliver(batch(1, 1), forever)).toMatchObject({ ok: false });
  await nats.close?.();
});

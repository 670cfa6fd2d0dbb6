/**
 * `events.json` against the bus, the encoder and the file sink: hostile text in every field that can carry it, and
 * the scripted troubles of a log.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { systemClock } from '../../../src/core/clock.js';
import { createBus } from '../../../src/events/bus.js';
import { encodeEvent } from '../../../src/events/encode.js';
import type { Event, EventBody } from '../../../src/events/event.js';
import type { Sink } from '../../../src/events/feeder.js';
import { openFileSink } from '../../../src/events/file-sink.js';
import { openEventServer } from '../../../src/sinks/server.js';
import { openBench } from '../bench.js';
import { allowedBody, numbered, refusedBody } from '../events.js';
import {
  type CorpusAdapter,
  type CorpusCase,
  type CorpusSession,
  compare,
  failed,
  type Outcome,
  PASSED,
  skipped,
} from './case.js';

const PRINTABLE_LINE = /^[\x20-\x7e]+\n$/;

/** Longest line that limits leave, in bytes. */
const LONGEST_LINE = 200_000;

export const eventAdapter: CorpusAdapter = { concurrency: 4, open: openSession };

async function openSession(): Promise<CorpusSession> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-corpus-'));
  let logs = 0;
  return {
    run: async corpusCase => {
      if (corpusCase.category !== 'scenario') return runText(corpusCase);
      const scenario = SCENARIOS.find(([words]) => words.test(String(corpusCase.scenario)));
      return scenario ? scenario[1](join(folder, `log-${++logs}`)) : skipped('no such scenario');
    },
    close: () => rm(folder, { recursive: true }),
  };
}

/** The text as it stands and as raw bytes read as Latin-1, where the case says. */
async function runText({ value, value_b64, where }: CorpusCase): Promise<Outcome> {
  const texts = [String(value), Buffer.from(String(value_b64), 'base64').toString('latin1')];
  for (const text of texts) {
    for (const body of bodiesWith(String(where), text)) {
      const outcome = await judgeText(body, text);
      if (outcome.kind !== 'passed') return outcome;
    }
  }
  return PASSED;
}

/** Every string of an event that `where` may end up in; a place that is new to us is tried in all of them. */
function bodiesWith(where: string, text: string): EventBody[] {
  const fact: EventBody = {
    type: 'policy.loaded',
    sandbox: null,
    gateway: { message: text, detail: [text] },
  };
  const everywhere = refusedBody({
    method: text,
    url: text,
    host: text,
    block_reason: text,
    reason: text,
    rule: text,
    protocol: text,
    secrets: [text],
  });
  if (where === 'method') return [refusedBody({ method: text })];
  if (where === 'url-path') return [allowedBody({ url: text }), refusedBody({ url: text })];
  if (where === 'sni') return [refusedBody({ host: text, layer: 'tls', url: '' })];
  return [everywhere, fact, { ...everywhere, sandbox: text }];
}

async function judgeText(body: EventBody, text: string): Promise<Outcome> {
  const bus = createBus({ clock: systemClock });
  const events: Event[] = [];
  bus.subscribe(event => events.push(event));
  bus.emit(body);
  await bus.close();
  const lines = events.map(encodeEvent);
  const line = lines[0] ?? '';
  if (lines.length !== 1 || !PRINTABLE_LINE.test(line))
    return failed('one printable line', line.slice(0, 300));
  if (line.length > LONGEST_LINE) return failed(`at most ${LONGEST_LINE} bytes`, `${line.length}`);
  const url = (JSON.parse(line) as Event).network?.url;
  if (body.network?.url !== text || text.length <= 8_192) return PASSED;
  // A pair of surrogates is not parted: then one more is left out.
  const left = [text.length - 8_192, text.length - 8_191].map(count => `…[+${count}]`);
  return left.some(marker => url?.endsWith(marker)) ? PASSED : failed('a marker', url?.slice(-40));
}

type Scenario = (log: string) => Promise<Outcome>;

const SCENARIOS: readonly (readonly [RegExp, Scenario])[] = [
  [/stops reading/, stoppedConsumer],
  [/disk full/, fullDisk],
  [/removed|rotated|read-only/, rotatedLog],
  [/denied requests/, flood],
  [/event file mode/, privateLog],
  [/crash mid-write/, crashedLog],
  [/subscriber over TCP/, silentSubscriber],
  [/guest learns/, curiousGuest],
];

const SERVER = {
  name: 'subscribers',
  listen: { kind: 'tcp', address: '127.0.0.1', port: 0 },
  token: 'a-token-of-the-operator-0123456789',
  filter: null,
  encode: (event: Event) => encodeEvent(event).trimEnd(),
  ring: { events: 10_000, bytes: 10_000_000 },
  readers: 4,
  stallMs: 100,
  beatMs: 60_000,
} as const;

/** Asks for the stream as an operator's program does, and then reads nothing. */
async function silentSubscriber(): Promise<Outcome> {
  const server = await openEventServer(SERVER);
  const bus = createBus({ clock: systemClock, sinks: [server] });
  const [{ port } = { port: 0 }] = server.listensOn;
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => undefined);
  const headers = `Host: 127.0.0.1:${port}\r\nAuthorization: Bearer ${SERVER.token}`;
  socket.write(`GET /events HTTP/1.1\r\n${headers}\r\n\r\n`);
  while (server.readers === 0) await delay(5);
  socket.pause();
  const url = `https://allowed.test/${'p'.repeat(4_000)}`;
  while (server.readers > 0) {
    for (let i = 0; i < 200; i++) bus.emit(allowedBody({ url }));
    await delay(5);
  }
  const { blocked } = bus;
  socket.destroy();
  await bus.close();
  return compare('cut off, nobody blocked', `cut off, ${blocked ? 'blocked' : 'nobody blocked'}`);
}

/** A sandbox whose policy allows everything, and that knows where the stream is served. */
async function curiousGuest(): Promise<Outcome> {
  const server = await openEventServer(SERVER);
  const [{ port } = { port: 0 }] = server.listensOn;
  const bench = await openBench({
    policy: { mode: 'allow_all', block_private_ips: false, allow_cidr: ['127.0.0.0/8'], allow_domain: ['*'] },
    resolve: () => ['127.0.0.1'],
    sinks: [server],
  });
  try {
    const asked = ['127.0.0.1', 'evil.test', 'localhost'].map(async host => {
      const isName = host !== '127.0.0.1';
      const target = { host: isName ? host : null, port, ...(!isName && { address: host }) };
      const socket = await bench.connect(target);
      const headers = `Host: ${host}:${port}\r\nAuthorization: Bearer ${SERVER.token}`;
      socket.write(`GET /events HTTP/1.1\r\n${headers}\r\n\r\n`);
      socket.setEncoding('latin1');
      let answer = '';
      socket.on('data', text => {
        answer += text;
      });
      await new Promise(resolve => socket.once('close', resolve).once('end', () => socket.destroy()));
      return answer.includes('text/event-stream') || answer.startsWith('HTTP/1.1 200') ? host : null;
    });
    const reached = (await Promise.all(asked)).filter(host => host !== null);
    return compare(
      'reached by 0, dialled 0',
      `reached by ${reached.length}, dialled ${bench.dialled.length}`,
    );
  } finally {
    await bench[Symbol.asyncDispose]();
  }
}

/** A pipe that is full: emitting goes on, the queue is bounded, and on recovery a marker counts the loss. */
async function stoppedConsumer(log: string): Promise<Outcome> {
  execFileSync('mkfifo', [log]);
  const reader = openSync(log, constants.O_RDONLY | constants.O_NONBLOCK);
  const sink = await openFileSink({ path: log, clock: systemClock });
  const limits = { events: 500, bytes: 10_000_000 };
  const bus = createBus({ clock: systemClock, sinks: [limited(sink, limits)] });
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 5_000; i++) bus.emit(i % 10 === 0 ? refusedBody() : allowedBody());
    await delay(5);
  }
  for (let i = 0; i < limits.events; i++) bus.emit(allowedBody());
  const { blocked, counts } = bus;
  await bus.close(AbortSignal.timeout(50));
  closeSync(reader);
  return compare(
    'blocked, lost and counted',
    `${blocked ? 'blocked' : 'free'}, ${lost(counts.dropped)} and counted`,
  );
}

function lost(dropped: number): string {
  return dropped > 0 ? 'lost' : 'kept';
}

function limited(sink: Sink, limits: NonNullable<Sink['limits']>): Sink {
  return {
    name: sink.name,
    whenFull: sink.whenFull,
    limits,
    write: events => sink.write(events),
    close: signal => sink.close?.(signal) ?? Promise.resolve(),
  };
}

async function fullDisk(): Promise<Outcome> {
  const troubles: string[] = [];
  const onTrouble = (error: Error): void => void troubles.push(error.message);
  const sink = await openFileSink({ path: '/dev/full', clock: systemClock, onTrouble });
  const bus = createBus({ clock: systemClock, sinks: [sink] });
  for (let i = 0; i < 100; i++) bus.emit(refusedBody());
  while (!sink.failing) await delay(5);
  const { blocked } = bus;
  await bus.close(AbortSignal.timeout(50));
  return compare('1 report, blocked', `${troubles.length} report, ${blocked ? 'blocked' : 'free'}`);
}

async function rotatedLog(log: string): Promise<Outcome> {
  let now = 0;
  const sink = await openFileSink({ path: log, clock: { now: () => 0, monotonic: () => now } });
  for (const _round of [1, 2]) {
    await sink.write([numbered(refusedBody(), 1)]);
    await rename(log, `${log}.old`);
    now += 2_000;
  }
  await sink.write([numbered(refusedBody(), 2)]);
  await sink.close?.();
  const lines = (await readFile(log, 'utf8')).trimEnd().split('\n');
  return compare('1 line in the new log', `${lines.length} line in the new log`);
}

/** A flood costs bounded memory and log: what is not listed one by one is counted. */
async function flood(log: string): Promise<Outcome> {
  const FLOOD = 100_000;
  const sink = await openFileSink({ path: log, clock: systemClock });
  const bus = createBus({ clock: systemClock, sinks: [sink] });
  for (let i = 0; i < FLOOD; i++) {
    bus.emit(refusedBody({ host: `h${i}.test`, url: `https://h${i}.test/` }));
    if (i % 1_000 === 0) await new Promise(setImmediate);
  }
  await bus.close();
  const events = (await readFile(log, 'utf8'))
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Event);
  const listed = events.filter(event => event.type === 'request.refused').length;
  const counted = events
    .flatMap(event => event.gateway?.detail ?? [])
    .map(text => Number(text.split(' ').at(-1)));
  const total = listed + counted.reduce((sum, count) => sum + count, 0);
  if (total !== FLOOD)
    return failed(`${FLOOD} listed or counted`, `${listed} listed, ${total - listed} counted`);
  return listed < FLOOD / 2 ? PASSED : failed('a bounded log', `${listed} lines`);
}

async function privateLog(log: string): Promise<Outcome> {
  await writeFile(log, '');
  await chmod(log, 0o644);
  for (const path of [log, `${log}.new`]) {
    const sink = await openFileSink({ path, clock: systemClock });
    await sink.close?.();
    const mode = ((await stat(path)).mode & 0o777).toString(8);
    if (mode !== '600') return failed('600', mode);
  }
  return PASSED;
}

async function crashedLog(log: string): Promise<Outcome> {
  await writeFile(log, '{"seq":1}\n{"seq":2,"ty');
  const sink = await openFileSink({ path: log, clock: systemClock });
  await sink.write([numbered(allowedBody(), 3)]);
  await sink.close?.();
  const last = (await readFile(log, 'utf8')).trimEnd().split('\n').at(-1) ?? '';
  return compare('3', String((JSON.parse(last) as Event).seq));
}

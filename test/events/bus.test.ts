import { createBus } from '../../src/events/bus.js';
import type { Event } from '../../src/events/event.js';
import type { Sink } from '../../src/events/feeder.js';
import { allowedBody, refusedBody } from '../support/events.js';

const clock = { now: () => 1_700_000_000_000, monotonic: () => 0 };

function recorder(differs: Partial<Sink> = {}): Sink & { readonly events: Event[] } {
  const events: Event[] = [];
  return {
    name: 'recorder',
    whenFull: 'drop-and-mark',
    write: batch => void events.push(...batch),
    events,
    ...differs,
  };
}

/** A sink whose writes wait until `open` is called. */
function gated(differs: Partial<Sink> = {}): Sink & { readonly events: Event[]; open(): void } {
  const events: Event[] = [];
  let open: () => void = () => undefined;
  const gate = new Promise<void>(resolve => {
    open = resolve;
  });
  const write = async (batch: readonly Event[]): Promise<void> => {
    await gate;
    events.push(...batch);
  };
  return { name: 'gated', whenFull: 'drop-and-mark', write, events, open: () => open(), ...differs };
}

test('the bus numbers events from 1 without a gap and stamps them with the clock', async () => {
  const sink = recorder();
  const bus = createBus({ clock, sinks: [sink] });
  for (let i = 0; i < 3; i++) bus.emit(allowedBody());
  await bus.close();
  expect(sink.events.map(({ seq, timestamp }) => [seq, timestamp])).toEqual(
    [1, 2, 3].map(seq => [seq, 1_700_000_000_000]),
  );
});

test('the bus redacts every string of an event before any sink or listener sees it', async () => {
  const sink = recorder();
  const bus = createBus({ clock, sinks: [sink], redact: text => text.replaceAll('sk-live', 'GWPH') });
  const heard: Event[] = [];
  bus.subscribe(event => heard.push(event));
  const all = {
    method: 'sk-live',
    url: `/${'x'.repeat(8_190)}sk-live`,
    host: 'sk-live',
    secrets: ['sk-live'],
  };
  const text = {
    block_reason: 'sk-live',
    reason: 'sk-live',
    rule: 'sk-live',
    destination: 'sk-live',
    flow: 'sk-live',
  };
  bus.emit({ ...refusedBody({ ...all, ...text }), sandbox: 'sk-live' });
  bus.emit({
    type: 'exec.started',
    sandbox: null,
    exec: { command: ['sk-live'], exit_code: null, duration_ms: 0 },
  });
  bus.emit({ type: 'policy.loaded', sandbox: null, gateway: { message: 'sk-live', detail: ['sk-live'] } });
  await bus.close();
  expect(sink.events).toHaveLength(3);
  expect(JSON.stringify([sink.events, heard])).not.toMatch(/sk-|live/);
});

test('a redaction that throws withholds the text and never reaches the emitter', async () => {
  const sink = recorder();
  const bus = createBus({
    clock,
    sinks: [sink],
    redact: () => {
      throw new Error('no');
    },
  });
  bus.emit(allowedBody());
  await bus.close();
  expect(sink.events[0]?.network?.url).toBe('[withheld]');
});

test('a sink that throws costs the others nothing and is reported once', async () => {
  const troubles: string[] = [];
  const broken = recorder({
    name: 'broken',
    write: () => {
      throw new Error('disk');
    },
  });
  const sink = recorder();
  const bus = createBus({ clock, sinks: [broken, sink], onTrouble: name => troubles.push(name) });
  for (let i = 0; i < 3; i++) {
    bus.emit(allowedBody());
    await new Promise(setImmediate);
  }
  await bus.close();
  expect(sink.events).toHaveLength(3);
  expect(troubles).toEqual(['broken']);
  expect(bus.counts).toEqual({ emitted: 3, dropped: 3, failures: 3 });
});

test('a sink that waits keeps its place, loses allows first, and hears afterwards what it lost', async () => {
  const slow = gated({ limits: { events: 4, bytes: 1_000_000 } });
  const sink = recorder();
  const bus = createBus({ clock, sinks: [slow, sink] });
  bus.emit(allowedBody());
  await new Promise(setImmediate); // The first batch is with the sink now.
  for (let i = 0; i < 4; i++) bus.emit(allowedBody());
  for (let i = 0; i < 3; i++) bus.emit(refusedBody());
  bus.emit(allowedBody());
  slow.open();
  await bus.close();
  expect(slow.events.map(({ type, seq }) => `${seq} ${type}`)).toEqual([
    '1 request.done',
    '5 request.done',
    '6 request.refused',
    '7 request.refused',
    '8 request.refused',
    '10 gateway.dropped',
  ]);
  expect(slow.events.at(-1)?.gateway).toEqual({
    message: 'gated lost 4 events',
    detail: ['allowed 4', 'denied 0', 'seq 2 to 9'],
  });
  expect(sink.events.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test('a full sink that said block blocks the bus until it has room', async () => {
  const slow = gated({ whenFull: 'block', limits: { events: 2, bytes: 1_000_000 } });
  const bus = createBus({ clock, sinks: [slow] });
  bus.emit(allowedBody());
  await new Promise(setImmediate);
  expect(bus.blocked).toBe(false);
  for (let i = 0; i < 2; i++) bus.emit(allowedBody());
  expect(bus.blocked).toBe(true);
  slow.open();
  await bus.close();
  expect(bus.blocked).toBe(false);
});

test('a failing sink blocks the bus only if it said so', async () => {
  const fail = async (): Promise<void> => {
    throw new Error('disk');
  };
  for (const whenFull of ['block', 'drop-and-mark'] as const) {
    const bus = createBus({ clock, sinks: [recorder({ whenFull, write: fail })] });
    bus.emit(allowedBody());
    await new Promise(setImmediate);
    expect(bus.blocked).toBe(whenFull === 'block');
    await bus.close();
  }
});

test('a listener that throws is reported, and the others hear the event', async () => {
  const troubles: unknown[] = [];
  const bus = createBus({ clock, onTrouble: (_name, error) => troubles.push(error) });
  const heard: number[] = [];
  bus.subscribe(() => {
    throw new Error('listener');
  });
  bus.subscribe(event => heard.push(event.seq));
  bus.emit(allowedBody());
  bus.emit(allowedBody());
  await bus.close();
  expect(heard).toEqual([1, 2]);
  expect(troubles).toHaveLength(2);
});

test('a listener that has left hears nothing more, not even what waited', async () => {
  const bus = createBus({ clock });
  const heard: number[] = [];
  const leave = bus.subscribe(event => heard.push(event.seq));
  bus.emit(allowedBody());
  leave();
  await bus.close();
  expect(heard).toEqual([]);
});

test('an emitter inside a listener does not recurse, and its event follows in order', async () => {
  const bus = createBus({ clock });
  const heard: number[] = [];
  bus.subscribe(({ seq }) => {
    heard.push(seq);
    if (seq < 5) bus.emit(allowedBody());
  });
  bus.emit(allowedBody());
  await bus.close();
  expect(heard).toEqual([1, 2, 3, 4, 5]);
});

test('close hands over what waits, closes the sinks, and makes later events vanish', async () => {
  let closes = 0;
  const sink = recorder({
    close: async () => {
      closes += 1;
    },
  });
  const bus = createBus({ clock, sinks: [sink] });
  bus.emit(allowedBody());
  await bus.close();
  bus.emit(allowedBody());
  expect(sink.events).toHaveLength(1);
  expect(closes).toBe(1);
});

test('close ends with its signal although a sink never takes its batch', async () => {
  const stuck = recorder({ write: () => new Promise<void>(() => undefined) });
  const bus = createBus({ clock, sinks: [stuck] });
  bus.emit(allowedBody());
  await bus.close(AbortSignal.timeout(20));
  expect(stuck.events).toEqual([]);
});

import { encodeEvent } from '../../src/events/encode.js';
import type { Event, EventBody } from '../../src/events/event.js';
import { EVENT_TYPES, eventSchema } from '../../src/events/schema.js';
import { allowedBody, networkOf, numbered, refusedBody } from '../support/events.js';

const bodies: EventBody[] = [
  allowedBody(),
  refusedBody({ url: '\ud800\r\n', secrets: ['A', 'B'] }),
  {
    type: 'exec.done',
    sandbox: 'sb1',
    exec: { command: ['sh', '-c', 'ü'], exit_code: null, duration_ms: 1.5 },
  },
  {
    type: 'file.created',
    sandbox: 'sb1',
    file: { op: 'create', path: '/workspace/a\nb', size: null, mode: 0o755 },
  },
  {
    type: 'gateway.dropped',
    sandbox: null,
    gateway: { message: 'log lost 2 events', detail: ['allowed 2'] },
  },
];

for (const body of bodies) {
  test(`a line of ${body.type} satisfies the published schema`, () => {
    expect(eventSchema.safeParse(JSON.parse(encodeEvent(numbered(body, 1)))).error?.issues ?? []).toEqual([]);
  });
}

const offences: readonly { readonly name: string; readonly event: object }[] = [
  { name: 'a type that does not exist', event: { ...numbered(allowedBody(), 1), type: 'request.maybe' } },
  { name: 'a field that does not exist', event: { ...numbered(allowedBody(), 1), extra: 1 } },
  {
    name: 'a number as a host',
    event: { ...numbered(allowedBody(), 1), network: { ...networkOf(), host: 1 } },
  },
  { name: 'a seq of 0', event: numbered(allowedBody(), 0) },
];

for (const { name, event } of offences) {
  test(`the schema refuses ${name}`, () => {
    expect(eventSchema.safeParse(event).success).toBe(false);
  });
}

test('every type of event has one sentence that explains it', () => {
  for (const sentence of Object.values(EVENT_TYPES)) expect(sentence).toMatch(/^[A-Z].*\.$/);
});

test('an encoded event has the fields of the event and their values', () => {
  const event = numbered({ ...refusedBody(), gateway: { message: 'm', detail: ['d'] } }, 3);
  expect(JSON.parse(encodeEvent(event)) as Event).toEqual(event);
});

import type { Event, EventBody } from '../../src/events/event.js';
import { compileFilter, type EventFilter } from '../../src/events/filter.js';
import { eventSchema } from '../../src/events/schema.js';
import { allowedBody, numbered, refusedBody } from '../support/events.js';

function filterOf(expression: string): EventFilter {
  const compiled = compileFilter(expression);
  if (!compiled.ok) throw new Error(`${compiled.error.column}: ${compiled.error.message}`);
  return compiled.value;
}

const EXEC: EventBody = {
  type: 'exec.done',
  sandbox: 'sb1',
  exec: { command: ['npm', 'ci'], exit_code: 3, duration_ms: 1_234.5 },
};
const FACT: EventBody = {
  type: 'policy.loaded',
  sandbox: null,
  gateway: { message: 'policy 2 is in force', detail: ['a warning'] },
};

const FILE: EventBody = {
  type: 'file.changed',
  sandbox: 'sb1',
  file: { op: 'write', path: '/workspace/a', size: 7, mode: 0o644 },
};

const passing: readonly (readonly [string, EventBody, boolean])[] = [
  ['network.host == "allowed.test"', allowedBody(), true],
  ['network.host == "other.test"', allowedBody(), false],
  ['network.host.endsWith(".test") && network.status_code >= 200', allowedBody(), true],
  ['network.status_code == 200 && network.port == 443 && network.generation == 1', allowedBody(), true],
  ['network.duration_ms > 12.0 && network.duration_ms < 13.0', allowedBody(), true],
  ['"TOKEN" in network.secrets', allowedBody({ secrets: ['TOKEN'] }), true],
  ['network.annotations.exists(a, a.startsWith("team="))', allowedBody({ annotations: ['team=x'] }), true],
  ['network.annotations.size() == 0 && network.reason == ""', allowedBody(), true],
  ['event.type.startsWith("request.") && event.sandbox == "sb1"', allowedBody(), true],
  ['event.seq == 7 && event.timestamp > 1.6e12', allowedBody(), true],
  ['event.id == event.gateway_id + "-7" && event.version == 1', allowedBody(), true],
  ['exec.exit_code != 0 && exec.command[0] == "npm"', EXEC, true],
  ['gateway.message.contains("in force") && "a warning" in gateway.detail', FACT, true],
  ['file.path.startsWith("/workspace/") && file.size == 7', FILE, true],
  ['network.host == "" && event.sandbox == ""', FACT, true],
  ['false', FACT, false],
  // A refusal is not filtered away by an expression that does not speak of it.
  ['network.host == "other.test"', refusedBody(), true],
  ['network.host == "other.test" && denied', refusedBody(), false],
  ['!denied', refusedBody(), false],
  ['!denied', allowedBody(), true],
  ['false', { type: 'gateway.dropped', sandbox: null, gateway: { message: 'm', detail: [] } }, true],
  ['false', { type: 'sandbox.stopped', sandbox: 'sb1', gateway: { message: 'm', detail: [] } }, true],
  // What an expression cannot be asked of is told rather than lost.
  ['network.response_bytes / network.request_bytes > 10', allowedBody({ request_bytes: 0 }), true],
];

test.each(passing)('the filter %s', (expression, body, want) => {
  expect(filterOf(expression)(numbered(body, 7))).toBe(want);
});

const faults: readonly (readonly [string, number, RegExp])[] = [
  ['network.hots == "x"', 9, /No such key: hots/],
  ['event.type ==', 14, /Unexpected token/],
  ['event.typo', 7, /No such key: typo/],
  ['network.port == "443"', 1, /no such overload/],
  ['network.host', 1, /must say true or false/],
  ['unknown == 1', 1, /Unknown variable: unknown/],
  ['network.host.matches("(a+)+$")', 14, /not offered/],
  ['constructor == 1', 1, /Unknown variable/],
  ['network.__proto__ == network', 9, /No such key/],
  [`network.host == "${'x'.repeat(5_000)}"`, 1, /longer than/],
  [`${'('.repeat(200)}true${')'.repeat(200)}`, 1, /./],
  ['\u0000', 1, /./],
];

test.each(faults)('compileFilter refuses %j and says where', (expression, column, message) => {
  const compiled = compileFilter(expression);
  expect(compiled).toMatchObject({ ok: false, error: { message: expect.stringMatching(message) } });
  if (!compiled.ok && column > 1) expect(compiled.error.column).toBe(column);
});

test('a filter knows every field that an event has, and reads it from any event', () => {
  const { network, exec, file, body, gateway } = eventSchema.shape;
  const { timings } = network.unwrap().shape;
  const parts = { network, 'network.timings': timings, exec, file, body, gateway };
  const fields = Object.entries(parts)
    .flatMap(([part, schema]) => Object.keys(schema.unwrap().shape).map(field => `${part}.${field}`))
    .filter(field => field !== 'network.timings');
  const events: readonly Event[] = [allowedBody(), EXEC, FACT].map(numbered);
  for (const field of fields) {
    const filter = filterOf(`${field} == ${field}`);
    for (const event of events) expect([field, filter(event)]).toEqual([field, true]);
  }
});

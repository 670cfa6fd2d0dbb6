/** `sallyport run --spool` and `sallyport events verify`, as a user has them. */
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { processIo } from '../../src/cli/io.js';
import { openFlaggedSpool } from '../../src/cli/spool.js';
import type { Event } from '../../src/events/event.js';
import { readEvents } from '../../src/events/read.js';
import { expectInvariants, facts, Stage } from './stage.js';

const NAME = 'api.example.test';
const stage = new Stage();
const TOKEN = 'spool-real-value-0123456789';
let spool: string;

beforeAll(async () => {
  await stage.https(NAME, (_request, response) => response.end('reached\n'));
  stage.env.TOKEN = TOKEN;
  stage.flags.push('--secret', `TOKEN@${NAME}`);
  spool = join(stage.place.dir, 'spool');
});
afterAll(() => stage.close());

const segments = (): string[] =>
  readdirSync(spool)
    .filter(name => name.endsWith('.jsonl'))
    .sort();

async function recorded(): Promise<Event[]> {
  const events: Event[] = [];
  for await (const event of readEvents(spool)) events.push(event);
  return events;
}

test('two runs are one record, signed to its end, that holds no value and opens with no gap', async () => {
  const flags = ['--spool', spool, '--spool-fsync', 'always'];
  const command = [
    'sh',
    '-c',
    `curl -sS -H "X-Key: $TOKEN" https://${NAME}/; curl -s https://evil.example.test/; true`,
  ];
  for (let round = 0; round < 2; round++) {
    expect(await stage.run(command, { flags })).toMatchObject({ code: 0, stdout: 'reached\n' });
  }
  const events = await recorded();
  const gateways = [...new Set(events.map(({ gateway_id }) => gateway_id))];
  expect(gateways).toHaveLength(2);
  for (const gateway of gateways) expectInvariants(events.filter(({ gateway_id }) => gateway_id === gateway));
  expect(
    segments()
      .map(name => readFileSync(join(spool, name), 'utf8'))
      .join(''),
  ).not.toContain(TOKEN);
  const verified = await stage.place.sallyport(['events', 'verify', spool]);
  expect(verified).toMatchObject({ code: 0, stderr: '' });
  expect(verified.stdout).toMatch(
    new RegExp(
      `^whole: ${events.length} records in 2 segments .*, closed\\nkey  [\\w-]{43}\\nhead [\\w-]{43}\\n$`,
    ),
  );
});

test('the sandbox sees neither the spool nor its key, even in a folder that it works in', async () => {
  const state = join(stage.place.dir, 'state', 'spool');
  expect(statSync(join(state, 'key.pem')).mode & 0o777).toBe(0o600);
  const { stdout } = await stage.run(
    ['sh', '-c', `ls -A ${spool} ${state} 2>/dev/null; cat ${spool}/* ${state}/*; true`],
    {
      flags: ['--spool', spool, '--bind', stage.place.dir],
    },
  );
  expect(stdout).not.toMatch(/jsonl|pem|segment|BEGIN/);
});

test('an edited spool is told with file and line, and what cannot be judged is told too', async () => {
  const [name = ''] = segments();
  const path = join(spool, name);
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace('evil.example.test', 'good.example.test'));
  const { code, stdout } = await stage.place.sallyport(['events', 'verify', spool]);
  expect([code, stdout]).toEqual([
    1,
    expect.stringMatching(new RegExp(`^${name}:\\d+: it does not follow .*\\n[\\s\\S]*NOT WHOLE: 1 faults`)),
  ]);
  const json = await stage.place.sallyport(['events', 'verify', '--json', spool]);
  expect(JSON.parse(json.stdout).faults).toHaveLength(1);
  writeFileSync(path, text);
  const none = await stage.place.sallyport(['events', 'verify', stage.place.dir]);
  expect(none).toMatchObject({ code: 2, stderr: expect.stringMatching(/no spool/) });
});

test('two gateways on one spool: the second is refused, and nothing is run', async () => {
  const first = stage.place.start(['run', '--spool', spool, '--', 'cat'], { env: stage.env });
  const running = new Promise(resolve => first.once('close', resolve));
  while (!(await recorded()).at(-1)?.type.startsWith('exec.started')) await new Promise(setImmediate);
  const second = await stage.place.sallyport(['run', '--spool', spool, '--', 'echo', 'ran']);
  expect(second).toMatchObject({
    code: 125,
    stdout: '',
    stderr: expect.stringMatching(/has a writer already/),
  });
  first.stdin.end();
  await running;
});

test('with a spool that cannot be begun, nothing is run', async () => {
  const foreign = join(stage.place.dir, 'foreign');
  mkdirSync(foreign);
  writeFileSync(join(foreign, 'thesis.doc'), '');
  chmodSync(foreign, 0o755);
  const { code, stdout, stderr } = await stage.place.sallyport([
    'run',
    '--spool',
    foreign,
    '--',
    'echo',
    'ran',
  ]);
  expect([code, stdout]).toEqual([125, '']);
  expect(stderr).toMatch(/it holds other things/);
  expect([readdirSync(foreign), statSync(foreign).mode & 0o777]).toEqual([['thesis.doc'], 0o755]);
});

test.each([
  [{}, 'block'],
  [{ spoolFull: 'drop-and-mark' }, 'drop-and-mark'],
] as const)('with the flags %j what a full disk does is %s', async (flags, whenFull) => {
  const before = process.env.SALLYPORT_STATE;
  process.env.SALLYPORT_STATE = join(stage.place.dir, 'state');
  try {
    const store = await openFlaggedSpool({ spool: join(stage.place.dir, 'own'), ...flags }, processIo());
    await store?.close?.();
    expect(store?.whenFull).toBe(whenFull);
  } finally {
    if (before === undefined) delete process.env.SALLYPORT_STATE;
    else process.env.SALLYPORT_STATE = before;
  }
});

test.each([
  [['--spool-keep', '10GiB'], /need --spool/],
  [['--spool-full', 'block'], /need --spool/],
  [['--spool', 'x', '--spool-full', 'spool'], /Allowed choices are block, drop-and-mark/],
  [['--spool', 'x', '--spool-keep', 'much'], /is not a size/],
  [['--spool', 'x', '--spool-keep-days', '0'], /is not a number of days/],
])('run %j is refused', async (flags, says) => {
  const { code, stderr } = await stage.place.sallyport(['run', ...flags, '--', 'true']);
  expect([code, stderr]).toEqual([125, expect.stringMatching(says)]);
});

test('the first request over a connection says what opening it took, and the next only what was its own', async () => {
  const { events } = await stage.sh(`curl -sS https://${NAME}/ https://${NAME}/`);
  const own = { first_byte_ms: expect.any(Number), total_ms: expect.any(Number) };
  // The name is pinned by the operator: nobody looked it up.
  expect(facts(events, 'request.done').map(({ timings }) => timings)).toEqual([
    { dns_ms: null, connect_ms: expect.any(Number), tls_ms: expect.any(Number), ...own },
    { dns_ms: null, connect_ms: null, tls_ms: null, ...own },
  ]);
  expect(facts(events, 'tls.done')).toMatchObject([{ host: NAME, protocol: 'tls1.3', decision: 'allow' }]);
  expectInvariants(events);
});

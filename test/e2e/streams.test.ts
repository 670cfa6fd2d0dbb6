/** Bodies that are streams: nothing waits for their end, and nothing keeps them. */
import type http from 'node:http';
import { bulkHandler, bulkRuns, measure } from './bulk.js';
import { expectInvariants, Stage } from './stage.js';

const EVENTS = 'events.example.test';
const BULK = 'bulk.example.test';
const stage = new Stage();
let waiting: http.ServerResponse | null = null;
let sent = 0;

beforeAll(async () => {
  await stage.https(EVENTS, (request, response) => {
    if (request.url === '/events') {
      waiting = response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      sent = 1;
      response.write('data: 1\n\n');
      return;
    }
    // The next event is sent only when the client says that it has the one before.
    response.end();
    sent += 1;
    waiting?.write(`data: ${sent}\n\n`);
    if (sent === 4) waiting?.end();
  });
  await stage.https(BULK, bulkHandler);
  stage.env.TOKEN = 'a-secret-that-is-looked-for-0123456789';
  stage.flags.push('--secret', `TOKEN@${EVENTS}`);
});
afterAll(() => stage.close());

test.each([
  ['', ''],
  [', where the answer is searched for a secret', '-H "Authorization: Bearer $TOKEN"'],
])('each server-sent event arrives before the next one is sent%s', async (_how, flags) => {
  const { code, stdout, events } = await stage.sh(
    `curl -sSN --max-time 20 ${flags} https://${EVENTS}/events | while read -r line; do
       case "$line" in data:*) echo "$line"; curl -sS -X POST https://${EVENTS}/more;; esac
     done`,
  );
  expect(stdout).toBe('data: 1\ndata: 2\ndata: 3\ndata: 4\n');
  expect(code).toBe(0);
  expectInvariants(events);
});

test('64 MiB each way, with a length and chunked, arrive whole and leave the memory flat', async () => {
  const runs = bulkRuns(BULK, 64 << 20);
  const { lines, growthMiB } = await measure(
    stage,
    runs.map(({ script }) => script),
  );
  expect(lines).toEqual(expect.arrayContaining(runs.map(({ line }) => line)));
  expect(growthMiB).toBeLessThan(300);
}, 60_000);

/** HTTP/2 from end to end, as gRPC uses it: streams that talk both ways, trailers, many at a time. */
import type http from 'node:http';
import { expectInvariants, facts, Stage } from './stage.js';

const NAME = 'grpc.example.test';
const stage = new Stage();
let requestTrailers: unknown = null;
let aborted = 0;

beforeAll(async () => {
  await stage.http2(NAME, (request: http.IncomingMessage, response: http.ServerResponse) => {
    if (request.url === '/never') {
      request.on('aborted', () => {
        aborted += 1;
      });
      return;
    }
    if (request.method === 'GET') return void response.end(`answer ${request.url}\n`);
    response.writeHead(200, { 'content-type': 'application/grpc', trailer: 'grpc-status, grpc-message' });
    request.on('data', chunk => response.write(`echo ${chunk}`));
    request.on('end', () => {
      requestTrailers = request.trailers;
      response.addTrailers({ 'grpc-status': '0', 'grpc-message': 'fine' });
      response.end();
    });
  });
  stage.flags.push(
    '--policy',
    stage.place.file('deny.yaml', `deny_domain: [{ domain: ${NAME}, methods: [DELETE] }]\n`),
  );
});
afterAll(() => stage.close());

/** A client of Node's own HTTP/2: `c` is its session. */
const node = (body: string): string => `node -e '
const c = require("http2").connect("https://${NAME}");
c.on("error", error => { console.log(error.code); process.exit(1); });
const get = (path, method = "GET") => new Promise((resolve, reject) => {
  const s = c.request({ ":path": path, ":method": method });
  let text = "", status = 0;
  s.on("response", head => { status = head[":status"]; });
  s.on("data", chunk => { text += chunk; });
  s.on("error", reject);
  s.on("end", () => resolve(status + " " + text.trim()));
});
${body}'`;

test('a client whose HPACK table has no room gets answers that it can read', async () => {
  const { stdout } = await stage.sh(`node -e '
const c = require("http2").connect("https://${NAME}", { settings: { headerTableSize: 0 } });
c.on("error", error => { console.log(error.code); process.exit(1); });
const get = (path, next) => {
  const s = c.request({ ":path": path });
  s.on("response", head => console.log(head[":status"]));
  s.on("error", error => console.log(error.code));
  s.resume().on("close", next);
};
get("/one", () => get("/two", () => c.close()));'`);
  expect(stdout).toBe('200\n200\n');
});

test('a call streams both ways, message by message, with trailers at both ends', async () => {
  const { code, stdout, events } = await stage.sh(
    node(`
const s = c.request({ ":method": "POST", ":path": "/pkg.Service/Chat", "content-type": "application/grpc", te: "trailers" }, { waitForTrailers: true });
const words = ["one", "two", "three"];
s.on("wantTrailers", () => s.sendTrailers({ "x-sum": "11" }));
s.on("response", head => console.log(head[":status"], head["content-type"]));
s.on("data", chunk => { console.log(String(chunk)); const next = words.shift(); if (next) s.write(next); else s.end(); });
s.on("trailers", fields => console.log(fields["grpc-status"], fields["grpc-message"]));
s.on("close", () => c.close());
s.write(words.shift());`),
  );
  expect(stdout).toBe('200 application/grpc\necho one\necho two\necho three\n0 fine\n');
  expect(code).toBe(0);
  expect(requestTrailers).toMatchObject({ 'x-sum': '11' });
  expect(facts(events, 'request.done')).toMatchObject([{ protocol: 'h2', method: 'POST', status_code: 200 }]);
  expectInvariants(events);
});

test('fifty requests share a connection, and one that is refused harms no other', async () => {
  const { stdout, events } = await stage.sh(
    node(`
const paths = Array.from({ length: 50 }, (_, n) => "/" + n);
Promise.all([...paths.map(path => get(path)), get("/x", "DELETE")]).then(answers => {
  console.log(answers.filter((answer, n) => answer === "200 answer /" + n).length);
  console.log(answers.at(-1));
  c.close();
});`),
  );
  const [fine, refusal = ''] = stdout.split('\n');
  expect(fine).toBe('50');
  expect(refusal).toMatch(/^403 \{/);
  expect(JSON.parse(refusal.slice(4))).toMatchObject({ reason: 'deny-rule', host: NAME });
  expect(facts(events, 'request.done')).toHaveLength(50);
  expect(facts(events, 'request.refused')).toHaveLength(1);
  expect(facts(events, 'flow.closed')).toHaveLength(1);
  expectInvariants(events);
});

test('a stream that the sandbox resets ends upstream too, and the connection lives on', async () => {
  const { stdout, events } = await stage.sh(
    node(`
const s = c.request({ ":path": "/never" });
s.on("error", () => {});
setTimeout(() => { s.close(8); get("/after").then(answer => { console.log(answer); c.close(); }); }, 500);`),
  );
  expect(stdout).toBe('200 answer /after\n');
  expect(aborted).toBe(1);
  expect(facts(events, 'request.failed')).toMatchObject([{ reason: 'CLIENT_ABORTED' }]);
  expectInvariants(events);
});

test('a client that breaks HTTP/2 is ended, and the flow says why', async () => {
  const { events } = await stage.sh(
    `(printf 'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n'; printf '\\0\\0\\377\\001\\0\\0\\0\\0\\0'; sleep 1) |
      openssl s_client -quiet -alpn h2 -servername ${NAME} -connect ${NAME}:443 >/dev/null 2>&1; true`,
  );
  expect(facts(events, 'flow.closed')).toMatchObject([
    { reason: 'CLIENT_PROTOCOL', block_reason: expect.stringContaining('HTTP/2') },
  ]);
  expectInvariants(events);
});

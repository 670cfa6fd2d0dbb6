/** `sallyport events tail | export | stats | replay | suggest` on what a real sandbox did, and on logs that are none. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import type { Event } from '../../src/events/event.js';
import { MAIN } from '../support/cli.js';
import { harSchema } from '../support/har.js';
import { bodyOf, Stage } from './stage.js';

const NAME = 'api.example.test';
const OTHER = 'other.example.test';
const TOKEN = 'reading-real-value-0123456789';
const stage = new Stage();
const got: string[] = [];
let log = '';

beforeAll(async () => {
  for (const name of [NAME, OTHER]) {
    await stage.https(
      name,
      async (request, response) => {
        got.push(`${request.method} ${request.url} ${await bodyOf(request)}`);
        if (request.url === '/old') response.writeHead(302, { location: '/new\u00ff' }).end();
        else response.end(`hello ${name}, ${TOKEN}\n`);
      },
      { denied: name === OTHER },
    );
  }
  stage.env.TOKEN = TOKEN;
  stage.flags.push('--policy', stage.place.file('capture.yaml', CAPTURE));
  log = `${stage.place.dir}/events.jsonl`;
  await stage.sh(
    `curl -sS https://${NAME}/items/17 https://${NAME}/items/4711; curl -sS https://${NAME}/old
     curl -sS -X POST --data "key=$TOKEN" https://${NAME}/login
     curl -s https://evil.example.test/; curl -s https://${OTHER}/; curl -s http://10.0.0.9/; true`,
    { flags: ['--event-log', log, '--quiet'], events: false },
  );
});
afterAll(() => stage.close());

const CAPTURE = `
capture: { bodies: 1KiB }
secrets: { TOKEN: { hosts: [${NAME}], in: [header, body] } }
`;

const events = (...args: readonly string[]) => stage.place.sallyport(['events', ...args]);

test('tail shows the last events as a table, refusals alone with --denied, and what flags select', async () => {
  const all = await events('tail', '-n', 'all', log);
  expect(all).toMatchObject({ code: 0, stderr: '' });
  expect(all.stdout).toMatch(/^TIME +SANDBOX +EVENT/);
  expect(all.stdout).toMatch(new RegExp(`request\\.done +200 .* GET https://${NAME}/items/17 `));
  expect(all.stdout).not.toMatch(/[^\x20-\x7e\n]/);
  const last = await events('tail', '--lines', '3', log);
  expect(last.stdout.trimEnd().split('\n')).toEqual([
    all.stdout.split('\n')[0],
    ...all.stdout.trimEnd().split('\n').slice(-3),
  ]);
  const denied = (await events('tail', '--denied', log)).stdout.trimEnd().split('\n').slice(1);
  expect(denied.length).toBeGreaterThanOrEqual(3);
  for (const line of denied) expect(line).toMatch(/ no( 403)? /);
  const host = (
    await events('tail', '--host', `*.example.test`, '--filter', 'network.port == 443', '--json', log)
  ).stdout;
  const hosts = host
    .trimEnd()
    .split('\n')
    .map(line => (JSON.parse(line) as Event).network);
  expect(hosts.filter(network => network?.decision === 'allow' && network.port !== 443)).toEqual([]);
  expect(hosts.length).toBeGreaterThan(3);
});

test('tail --sandbox shows what one sandbox did, of a log that has several', async () => {
  const own = readFileSync(log, 'utf8');
  const lines = own.trimEnd().split('\n');
  const ids = new Set(lines.map(line => (JSON.parse(line) as Event).sandbox).filter(id => id !== null));
  const [id = ''] = ids;
  expect(ids.size).toBe(1);
  const path = stage.place.file('two.jsonl', own + own.replaceAll(`"${id}"`, '"run-of-another"'));
  const shown = async (...args: readonly string[]) =>
    (await events('tail', '--json', '-n', 'all', ...args, path)).stdout;
  const wanted = lines.filter(line => line.includes(`"sandbox":"${id}"`));
  expect(await shown('--sandbox', id)).toBe(`${wanted.join('\n')}\n`);
  const denied = (await shown('--sandbox', 'run-of-another', '--denied')).trimEnd().split('\n');
  expect(denied.length).toBeGreaterThanOrEqual(3);
  for (const line of denied) {
    expect(JSON.parse(line)).toMatchObject({ sandbox: 'run-of-another', network: { decision: 'deny' } });
  }
  expect(await events('tail', '--sandbox', 'run-of-nobody', path)).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('no event to show'),
  });
});

test('tail goes on from a seq, or after the event of an id', async () => {
  const from = (await events('tail', '--json', '--from', '4', log)).stdout.trimEnd().split('\n');
  const [first] = from.map(line => JSON.parse(line) as Event);
  expect(first?.seq).toBe(4);
  const after = (await events('tail', '--json', '--from', first?.id ?? '', log)).stdout.trimEnd().split('\n');
  expect(after).toEqual(from.slice(1));
  expect(await events('tail', '--from', 'nobody-1', log)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('nobody-1'),
  });
});

test('tail --follow shows what is written from now on, and an interrupt ends it with 130', async () => {
  const path = stage.place.file('follow.jsonl', readFileSync(log));
  const child = stage.place.start(['events', 'tail', '--follow', '--json', '-n', '1', path]);
  let seen = '';
  child.stdout.on('data', chunk => {
    seen += chunk;
  });
  const line = readFileSync(log, 'utf8').split('\n')[0] ?? '';
  while (!seen.includes('gateway.closed')) await once(child.stdout, 'data');
  appendFileSync(path, `${line.slice(0, 40)}`);
  appendFileSync(path, `${line.slice(40)}\n`);
  while (!seen.includes('gateway.started')) await once(child.stdout, 'data');
  child.kill('SIGINT');
  expect(await once(child, 'close')).toEqual([130, null]);
  expect(
    seen
      .trimEnd()
      .split('\n')
      .map(text => (JSON.parse(text) as Event).type),
  ).toEqual(['gateway.closed', 'gateway.started']);
});

test('a reader that has seen enough is no error', async () => {
  const path = stage.place.file('long.jsonl', readFileSync(log, 'utf8').repeat(200));
  const script = `"${process.execPath}" "${MAIN}" events tail -n all "${path}" | head -n 2; exit "\${PIPESTATUS[0]}"`;
  const child = spawn('bash', ['-c', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  let err = '';
  child.stderr.on('data', chunk => {
    err += chunk;
  });
  child.stdout.resume();
  expect([...(await once(child, 'close')), err]).toEqual([0, null, '']);
});

test('export writes an archive with contents as the sandbox sent and got them, and where redirects led', async () => {
  const file = `${stage.place.dir}/run.har`;
  expect(await events('export', '--har', '-o', file, log)).toMatchObject({ code: 0, stdout: '', stderr: '' });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const text = readFileSync(file, 'utf8');
  expect(text).not.toContain(TOKEN);
  const { entries } = harSchema.parse(JSON.parse(text)).log;
  const login = entries.find(({ request }) => request.url.endsWith('/login'));
  expect(got).toContain(`POST /login key=${TOKEN}`);
  expect(login?.request.postData?.text).toMatch(/^key=GWPH_[0-9a-f]{32}$/);
  expect(login?.response.content.text).toMatch(new RegExp(`^hello ${NAME}, GWPH_[0-9a-f]{32}\\n$`));
  expect(entries.find(({ request }) => request.url.endsWith('/old'))?.response).toMatchObject({
    status: 302,
    redirectURL: '/new\u00ff',
  });
  expect(entries.find(({ request }) => request.url.includes('10.0.0.9'))?.response).toMatchObject({
    status: 403,
    _error: 'private-address',
  });
});

test('export writes one record of OCSF and one row of CSV for each event', async () => {
  const count = readFileSync(log, 'utf8').trimEnd().split('\n').length;
  const ocsf = (await events('export', '--ocsf', log)).stdout.trimEnd().split('\n');
  expect(ocsf.map(line => JSON.parse(line)).every(record => record.metadata.version === '1.3.0')).toBe(true);
  expect(ocsf).toHaveLength(count);
  const csv = (await events('export', '--csv', log)).stdout;
  expect(csv.split('\r\n')).toHaveLength(count + 2);
  expect(csv).toMatch(/^id,time,timestamp,seq,type,sandbox,layer,decision/);
  expect(await events('export', log)).toMatchObject({ code: 2, stderr: expect.stringContaining('--har') });
  expect(await events('export', '--har', '--csv', log)).toMatchObject({ code: 2 });
});

test('stats count by host, with a bar, and as JSON', async () => {
  const { code, stdout } = await events('stats', log);
  expect(code).toBe(0);
  expect(stdout).toMatch(new RegExp(`^${NAME} +\\d+ +0 +0 .* #+$`, 'm'));
  expect(stdout).toMatch(/^private-address +1$/m);
  const json = JSON.parse((await events('stats', '--json', log)).stdout);
  expect(json.hosts).toContainEqual(expect.objectContaining({ host: NAME, denied: 0 }));
});

test('what suggest prints is accepted by check, refuses nothing of the record, and refuses what was not in it', async () => {
  const policy = `${stage.place.dir}/suggested.yaml`;
  expect(await events('suggest', '-o', policy, log)).toMatchObject({ code: 0, stderr: '' });
  expect(readFileSync(policy, 'utf8')).toContain('paths: ["/items/*", "/old"]');
  expect(await stage.place.sallyport(['check', policy])).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/examples passed/),
  });
  const replay = await events(
    'replay',
    '--policy',
    policy,
    '--fail-on',
    'newly-denied',
    '--fail-on',
    'newly-allowed',
    log,
  );
  expect(replay).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/ 0 newly allowed, 0 newly denied/),
  });
  const asked = (method: string, path: string) =>
    stage.place.sallyport(['explain', '--policy', policy, '--method', method, `https://${NAME}${path}`]);
  expect(await asked('GET', '/items/99')).toMatchObject({ code: 0 });
  expect(await asked('DELETE', '/items/99')).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/method-not-allowed/),
  });
  expect(await asked('GET', '/admin')).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/path-not-allowed/),
  });
});

test('a spool is read as a log is, whole and from any event on', async () => {
  const spool = `${stage.place.dir}/spool`;
  const curl = `curl -sS https://${NAME}/items/5 https://${NAME}/items/6; curl -s https://evil.example.test/; true`;
  for (let i = 0; i < 2; i++) await stage.sh(curl, { flags: ['--spool', spool, '--quiet'], events: false });
  const all = (await events('tail', '--json', spool)).stdout
    .trimEnd()
    .split('\n')
    .map(text => JSON.parse(text) as Event);
  expect(all.filter(({ type }) => type === 'request.done')).toHaveLength(4);
  expect(all.filter(({ type }) => type === 'gateway.closed')).toHaveLength(2);
  // More than one segment back: each run has its own.
  const last = (await events('tail', '-n', '21', spool)).stdout.trimEnd().split('\n');
  expect(last.slice(1)).toHaveLength(21);
  expect(last.at(-1)).toContain('gateway.closed');
  const [, , third] = all;
  const after = await events('tail', '--json', '--from', third?.id ?? '', spool);
  expect(after.stdout.trimEnd().split('\n')).toHaveLength(all.length - 3);
  expect((await events('tail', '--denied', spool)).stdout).toMatch(/dns\.refused/);
  expect((await events('stats', spool)).stdout).toMatch(/^no-rule +[24]$/m);
  const policy = `${stage.place.dir}/of-spool.yaml`;
  expect(await events('suggest', '-o', policy, spool)).toMatchObject({ code: 0, stderr: '' });
  expect(readFileSync(policy, 'utf8')).toContain('paths: ["/items/*"]');
  expect(await events('replay', '--policy', policy, '--fail-on', 'newly-denied', spool)).toMatchObject({
    code: 0,
    stderr: '',
  });
  expect(
    await events('replay', '--deny', NAME, '--allow', NAME, '--fail-on', 'newly-denied', spool),
  ).toMatchObject({ code: 1 });
});

test('replay fails for what --fail-on names', async () => {
  const open = stage.place.file(
    'open.yaml',
    `mode: allow_all\nallow_domain: [unused.example.test]\ndeny_domain: [{ domain: ${NAME}, paths: ["/items/*"] }]\n`,
  );
  const run = (...args: string[]) => events('replay', '--policy', open, ...args, log);
  expect(await run()).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/newly allowed:[\s\S]*look-up of evil\.example\.test/),
  });
  expect(await run('--fail-on', 'newly-allowed')).toMatchObject({ code: 1 });
  const json = JSON.parse((await run('--json')).stdout);
  expect(json).toMatchObject({
    unused_rules: ['allow_domain[0]'],
    newly_allowed: { total: expect.any(Number) },
  });
  expect(json.newly_denied.changes).toContainEqual(
    expect.objectContaining({ subject: `GET https://${NAME}/items/17` }),
  );
  expect(await run('--fail-on', 'nonsense')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('newly-denied'),
  });
  expect(await events('replay', log)).toMatchObject({ code: 2, stderr: expect.stringContaining('--policy') });
  expect(await events('replay', '--policy', '/nonexistent.yaml', log)).toMatchObject({ code: 2 });
});

const COMMANDS = [
  { name: 'tail', flags: [] },
  { name: 'export', flags: ['--csv'] },
  { name: 'stats', flags: [] },
  { name: 'replay', flags: ['--allow', NAME] },
  { name: 'suggest', flags: [] },
];

test.each(COMMANDS)(
  '$name says in one line what is wrong with a log that is none',
  async ({ name, flags }) => {
    const line = readFileSync(log, 'utf8').split('\n')[0] ?? '';
    const bad = async (path: string, code: number, stderr: RegExp | string) =>
      expect([path, await events(name, ...flags, path)]).toEqual([
        path,
        expect.objectContaining({ code, stderr: expect.stringMatching(stderr) }),
      ]);
    await bad(
      '/nonexistent/events.jsonl',
      2,
      /^sallyport: \/nonexistent\/events\.jsonl: cannot be read \(ENOENT\)\n$/,
    );
    mkdirSync(`${stage.place.dir}/folder-${name}`);
    await bad(`${stage.place.dir}/folder-${name}`, 2, /^sallyport: [^\n]*\n$/);
    await bad(stage.place.file('empty.jsonl', ''), 0, name === 'tail' ? /no event to show/ : '');
    await bad(stage.place.file('half.jsonl', `${line}\n${line.slice(0, 30)}`), 0, '');
    await bad(
      stage.place.file('cut.jsonl', `${line.slice(0, 30)}\n${line}\n`),
      3,
      /^sallyport: [^\n]*cut\.jsonl:1: [^\n]*\n$/,
    );
    const newer = line.replace('"version":1', '"version":99');
    await bad(stage.place.file('newer.jsonl', `${newer}\n`), 3, /newer\.jsonl:1: [^\n]*newer version/);
    await bad(stage.place.file('noise.jsonl', Buffer.alloc(5_000, 0xfe)), 0, '');
    await bad(stage.place.file('lines.jsonl', 'x\n'.repeat(40)), 3, /35 more lines hold no event\n$/);
  },
);

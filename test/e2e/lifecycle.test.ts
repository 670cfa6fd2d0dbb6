/** A run's life: signals, terminals, standard input, many at once, and an end that leaves nothing behind. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { MAIN } from '../support/cli.js';
import { facts, Stage } from './stage.js';

const NAME = 'api.example.test';
const stage = new Stage();
const keys: string[] = [];

beforeAll(() =>
  stage.https(NAME, (request, response) => {
    keys.push(`${request.url} ${request.headers['x-key']}`);
    response.end('ok\n');
  }),
);
afterAll(() => stage.close());

type Child = ReturnType<Stage['start']>;

/** Resolves when `word` was printed on a line of its own. */
async function prints(child: Child, word: string): Promise<string> {
  let output = '';
  return await new Promise((resolve, reject) => {
    child.stdout.on('data', chunk => {
      output += chunk;
      if (output.includes(word)) resolve(output);
    });
    child.once('close', () => reject(new Error(`it ended without ${word}: ${output}`)));
  });
}

const ended = (child: Child): Promise<[number | null, NodeJS.Signals | null]> =>
  new Promise(resolve => child.once('close', (code, signal) => resolve([code, signal])));

test('ten sandboxes at once each send their own secret, and share one authority', async () => {
  const state = join(stage.place.dir, 'fresh-state');
  const values = Array.from({ length: 10 }, (_, n) => `value-of-sandbox-${n}-${'x'.repeat(n)}`);
  const runs = values.map((KEY, n) =>
    stage.sh(`echo $KEY; curl -sS -H "X-Key: $KEY" https://${NAME}/${n}`, {
      env: { KEY, SALLYPORT_STATE: state },
      flags: ['--secret', `KEY@${NAME}`],
    }),
  );
  const finished = await Promise.all(runs);
  expect(finished.map(({ code }) => code)).toEqual(values.map(() => 0));
  expect(keys.sort()).toEqual(values.map((value, n) => `/${n} ${value}`));
  const placeholders = finished.map(({ stdout }) => stdout.split('\n')[0]);
  expect(new Set(placeholders).size).toBe(10);
  for (const { events } of finished)
    for (const value of values) expect(JSON.stringify(events)).not.toContain(value);
});

describe('signals', () => {
  test.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const)('%s reaches the command', async signal => {
    const name = signal.slice(3);
    const child = stage.start(
      `trap 'echo got ${name}; exit 3' ${name}; echo ready; while :; do sleep 0.05; done`,
    );
    await prints(child, 'ready');
    const got = prints(child, `got ${name}`);
    child.kill(signal);
    await got;
    expect(await ended(child)).toEqual([3, null]);
  });

  test('a command that dies of a signal is 128 and its number', async () => {
    const child = stage.start('echo ready; exec sleep 60');
    await prints(child, 'ready');
    child.kill('SIGTERM');
    expect(await ended(child)).toEqual([143, null]);
  });

  test('a signal before the command runs is not lost', async () => {
    const child = stage.start('echo ready; exec sleep 60');
    setTimeout(() => child.kill('SIGINT'), 150);
    const [code] = await ended(child);
    expect([130, 125, null]).toContain(code);
  });
});

test('standard input ends when ours does, and output larger than a pipe arrives whole', async () => {
  const input = 'line of input\n'.repeat(20_000);
  const { stdout, code } = await stage.sh('cat; echo end', { input });
  expect(stdout).toBe(`${input}end\n`);
  expect(code).toBe(0);
});

test('the flows that a command leaves open are closed, and on record, when it ends', async () => {
  const { code, events } = await stage.sh(
    `openssl s_client -quiet -servername ${NAME} -connect ${NAME}:443 </dev/zero >/dev/null 2>&1 & sleep 0.7; exit 5`,
  );
  expect(code).toBe(5);
  expect(facts(events, 'flow.opened')).toHaveLength(1);
  expect(facts(events, 'flow.closed')).toHaveLength(1);
});

/** Processes that are in the network namespace `inode` or hold `marker` in their command line. */
function survivors(marker: string, namespace: string): readonly string[] {
  return readdirSync('/proc')
    .filter(pid => /^\d+$/.test(pid))
    .filter(pid => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
        return command.includes(marker) || readlinkSync(`/proc/${pid}/ns/net`) === namespace;
      } catch {
        return false; // It has ended, or is another user's.
      }
    });
}

test('kill -9 of the gateway ends the sandbox, and leaves no process, namespace, mount or file', async () => {
  const scratch = join(stage.place.dir, 'scratch');
  mkdirSync(scratch);
  const mounts = readFileSync('/proc/self/mounts', 'utf8');
  const marker = `${100_000 + process.pid}.25`;
  const child = stage.place.start(
    [
      'run',
      ...stage.flags,
      '--',
      'sh',
      '-c',
      `readlink /proc/self/ns/net; sleep ${marker} & setsid sleep ${marker} & echo ready; wait`,
    ],
    { env: { TMPDIR: scratch } },
  );
  const output = await prints(child, 'ready');
  const namespace = /net:\[\d+\]/.exec(output)?.[0] ?? '';
  expect(survivors(marker, namespace).length).toBeGreaterThan(1);
  child.kill('SIGKILL');
  await ended(child);
  const deadline = performance.now() + 10_000;
  while (survivors(marker, namespace).length > 0 && performance.now() < deadline) {
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  expect(survivors(marker, namespace)).toEqual([]);
  expect(readFileSync('/proc/self/mounts', 'utf8')).toBe(mounts);
  expect(readdirSync(scratch)).toEqual([]);
});

describe('on a terminal', () => {
  /** `sallyport run -- COMMAND` on a pseudo-terminal of util-linux's `script`, which gives its exit code. */
  const open = new Set<ChildProcess>();
  afterEach(() => {
    for (const child of open) child.kill('SIGKILL');
    open.clear();
  });

  function terminal(command: string) {
    const child = spawn(
      'script',
      ['-qec', `'${process.execPath}' '${MAIN}' run --quiet -- ${command}`, '/dev/null'],
      {
        cwd: stage.place.dir,
        env: {
          PATH: process.env.PATH,
          HOME: stage.place.dir,
          SALLYPORT_STATE: join(stage.place.dir, 'state'),
          TERM: 'dumb',
          PS1: 'prompt> ',
          SHELL: '/bin/sh',
        },
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    );
    open.add(child);
    let screen = '';
    child.stdout.on('data', chunk => {
      screen += chunk;
    });
    const shows = async (text: string): Promise<void> => {
      const deadline = performance.now() + 15_000;
      while (!screen.includes(text)) {
        if (child.exitCode !== null || performance.now() > deadline)
          throw new Error(`no ${text} on: ${screen}`);
        await new Promise(resolve => setTimeout(resolve, 20));
      }
      screen = screen.slice(screen.indexOf(text) + text.length);
    };
    return { child, shows, type: (text: string) => void child.stdin.write(text) };
  }

  test('a shell has job control, Ctrl-C interrupts what it runs, and its exit code is ours', async () => {
    const { child, shows, type } = terminal('bash --norc -i');
    const code = new Promise(resolve => child.once('close', resolve));
    await shows('prompt> ');
    type('test -t 0 && set -o | grep monitor\n');
    await shows('\ton');
    await shows('prompt> ');
    type('echo begun; sleep 60; echo not-here\n');
    await shows('begun\r\n');
    await new Promise(resolve => setTimeout(resolve, 200));
    type('\x03');
    await shows('prompt> ');
    type('echo after $?\n');
    await shows('after 130');
    type('sleep 61 & jobs; kill %1; exit 7\n');
    await shows('Running');
    expect(await code).toBe(7);
  });

  test('Ctrl-C on a plain command ends it, and the gateway with it', async () => {
    const { child, shows, type } = terminal("sh -c 'echo begun; sleep 60'");
    const code = new Promise(resolve => child.once('close', resolve));
    await shows('begun');
    await new Promise(resolve => setTimeout(resolve, 200));
    type('\x03');
    expect(await code).toBe(130);
  });
});

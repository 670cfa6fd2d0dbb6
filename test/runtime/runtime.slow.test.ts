import { chmodSync, lstatSync, mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { Runtime } from '../../src/runtime/runtime.js';
import type { Sandbox } from '../../src/runtime/sandbox.js';
import { removeTree } from '../../src/vm/process/root.js';

const homes: string[] = [];
const runtimes: Runtime[] = [];
afterEach(async () => {
  await Promise.all(runtimes.splice(0).map(runtime => runtime.close()));
});
afterAll(async () => {
  await Promise.all(homes.map(removeTree));
});

function home(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-home-'));
  homes.push(folder);
  return folder;
}

function open(homeDir: string = home()): Runtime {
  const runtime = new Runtime({ homeDir });
  runtimes.push(runtime);
  return runtime;
}

async function started(runtime: Runtime, name = 'box'): Promise<Sandbox> {
  const sandbox = await runtime.create(name);
  await sandbox.start();
  return sandbox;
}

test('the home and what is in it are its owner’s alone', async () => {
  const homeDir = home();
  const runtime = open(join(homeDir, 'new'));
  const sandbox = await started(runtime);
  const folder = join(homeDir, 'new', 'sandboxes', sandbox.id);
  const modes = ['', 'sandbox.json', 'control.sock', 'events.jsonl', 'supervisor.log', 'lock', 'machine'].map(
    name => [name, (statSync(join(folder, name)).mode & 0o777).toString(8)],
  );
  expect(Object.fromEntries(modes)).toEqual({
    '': '700',
    'sandbox.json': '600',
    'control.sock': '600',
    'events.jsonl': '600',
    'supervisor.log': '600',
    lock: '600',
    machine: '700',
  });
});

test('a home that others can write is refused', async () => {
  const homeDir = home();
  chmodSync(homeDir, 0o777);
  await expect(open(homeDir).list()).rejects.toMatchObject({ code: 'VM_CONFIG_INVALID' });
});

test('a home may be as deep as it likes: sockets are reached all the same', async () => {
  const runtime = open(join(home(), 'a'.repeat(100), 'b'.repeat(100)));
  const sandbox = await started(runtime);
  expect((await sandbox.exec('echo deep')).stdout).toBe('deep\n');
});

test('names are unique, are checked, and default to the id', async () => {
  const runtime = open();
  const nameless = await runtime.create(null);
  expect(nameless.name).toBe(nameless.id);
  await runtime.create('box');
  await expect(runtime.create('box')).rejects.toMatchObject({ code: 'VM_EXISTS' });
  for (const name of ['../x', 'a b', '-x', 'x'.repeat(64), 'a/b']) {
    await expect(runtime.create(name)).rejects.toMatchObject({ code: 'VM_CONFIG_INVALID' });
  }
  const made = await Promise.allSettled(Array.from({ length: 8 }, () => runtime.create('same')));
  expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  expect((await runtime.list()).map(({ name }) => name)).toEqual([nameless.name, 'box', 'same']);
});

describe('states', () => {
  test('of one that was only made: it takes a start, and nothing else', async () => {
    const runtime = open();
    const sandbox = await runtime.create('box');
    const running = [
      () => sandbox.exec('true'),
      () => sandbox.execStream('true'),
      () => sandbox.execInteractive('true'),
      () => sandbox.readFile('/x'),
      () => sandbox.writeFile('/x', ''),
      () => sandbox.listFiles('/'),
      () => sandbox.searchFiles('/', '*'),
      () => sandbox.wait(),
      () => sandbox.events()[Symbol.asyncIterator]().next(),
    ];
    for (const work of running) await expect(work()).rejects.toMatchObject({ code: 'VM_NOT_RUNNING' });
    await sandbox.stop();
    expect(await sandbox.info()).toMatchObject({ state: 'created' });
    await runtime.remove(sandbox.id);
    await expect(runtime.remove(sandbox.id)).rejects.toMatchObject({ code: 'VM_NOT_FOUND' });
  });

  test('of one that runs: no second start, no removal without force', async () => {
    const runtime = open();
    const sandbox = await started(runtime);
    await expect(sandbox.start()).rejects.toMatchObject({ code: 'VM_STATE_INVALID' });
    await expect(runtime.remove('box')).rejects.toMatchObject({ code: 'VM_STATE_INVALID' });
    await runtime.remove('box', { force: true });
    expect(await runtime.list()).toEqual([]);
  });

  test('of one that stopped: it starts again, as often as asked; two starts at once make one', async () => {
    const runtime = open();
    const sandbox = await started(runtime);
    await sandbox.stop();
    const starts = await Promise.allSettled([sandbox.start(), sandbox.start()]);
    expect(starts.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect((await sandbox.exec('echo again')).stdout).toBe('again\n');
  });

  test('of one that cannot start: failed, with the reason, and it may be tried again', async () => {
    const runtime = open();
    const sandbox = await runtime.create('box', {
      mounts: [{ hostPath: '/no/such/folder', guestPath: '/x' }],
    });
    await expect(sandbox.start()).rejects.toMatchObject({ code: 'MOUNT_CONFIG_INVALID' });
    expect(await sandbox.info()).toMatchObject({
      state: 'failed',
      message: expect.stringContaining('/no/such/folder'),
    });
    await expect(sandbox.start()).rejects.toMatchObject({ code: 'MOUNT_CONFIG_INVALID' });
  });

  test('of one whose machine ended by itself: failed, and who waits is told', async () => {
    const runtime = open();
    const sandbox = await started(runtime);
    const waiting = sandbox.wait();
    process.kill(sandbox.pid ?? 0, 'SIGKILL');
    expect(await waiting).toMatchObject({ reason: 'ended' });
    while ((await sandbox.info()).state !== 'failed') await new Promise(resolve => setTimeout(resolve, 20));
  });
});

describe('streams', () => {
  const runtime = new Runtime({ homeDir: home() });
  let sandbox: Sandbox;
  beforeAll(async () => {
    sandbox = await started(runtime);
  });
  afterAll(() => runtime.close());

  test('come as they are written, both ways, and hold back', async () => {
    const run = await sandbox.execStream('read a; echo got $a; head -c 3000000 /dev/zero >&2; exit 9', {
      stdin: 'pipe',
    });
    run.stdin?.end('word\n');
    const [out, err] = await Promise.all([buffer(run.stdout), buffer(run.stderr)]);
    expect(String(out)).toBe('got word\n');
    expect(err.length).toBe(3_000_000);
    expect(await run.exit).toMatchObject({ exitCode: 9 });
  });

  test('a terminal has its size, takes keys, and is resized', async () => {
    const run = await sandbox.execInteractive(
      "stty size; trap 'stty size; exit 5' WINCH; echo up; while :; do sleep 0.1; done",
      {
        rows: 20,
        cols: 60,
      },
    );
    let shown = '';
    run.stdout.on('data', chunk => {
      shown += chunk;
    });
    while (!shown.includes('up')) await new Promise(resolve => setTimeout(resolve, 20));
    run.resize(21, 61);
    expect(await run.exit).toMatchObject({ exitCode: 5 });
    while (!shown.includes('21 61')) await new Promise(resolve => setTimeout(resolve, 20));
    expect(shown).toContain('20 60\r\n');
  });

  test('a command is killed with its caller, by time, by signal and by name', async () => {
    await expect(sandbox.exec('sleep 1000', { timeoutMs: 200 })).rejects.toMatchObject({ code: 'TIMEOUT' });
    await expect(sandbox.exec('sleep 1000', { signal: AbortSignal.timeout(300) })).rejects.toThrow();
    const run = await sandbox.execStream('sleep 1000');
    run.kill('SIGTERM');
    expect(await run.exit).toMatchObject({ exitCode: 143, signal: 'SIGTERM' });
    await expect(sandbox.exec('no-such', { args: [] })).rejects.toMatchObject({ code: 'COMMAND_NOT_FOUND' });
    expect((await sandbox.exec('pgrep -c sleep')).stdout).toBe('0\n');
  });

  test('half a file is no file: an upload that breaks off leaves the old one', async () => {
    await sandbox.writeFile('/workspace/file', 'old');
    const broken = Readable.from(
      (async function* () {
        yield Buffer.alloc(100_000);
        throw new Error('the source broke');
      })(),
      { objectMode: false },
    );
    await expect(sandbox.writeFile('/workspace/file', broken)).rejects.toThrow();
    expect(String(Buffer.from(await sandbox.readFile('/workspace/file')))).toBe('old');
    while ((await sandbox.listFiles('/workspace')).length > 1)
      await new Promise(resolve => setTimeout(resolve, 20));
  });

  test('many commands at once, while files go in and out', async () => {
    const block = Buffer.alloc(4_000_000, 7);
    const work = Array.from({ length: 12 }, async (_, n) => {
      if (n % 4 === 0) {
        await sandbox.writeFile(`/workspace/${n}`, block);
        return (await sandbox.readFile(`/workspace/${n}`)).length;
      }
      return (await sandbox.exec(`echo ${n}; exit ${n}`)).exitCode;
    });
    expect(await Promise.all(work)).toEqual([4e6, 1, 2, 3, 4e6, 5, 6, 7, 4e6, 9, 10, 11]);
  });
});

test('closing a handle leaves the sandbox; another handle has it', async () => {
  const runtime = open();
  const sandbox = await started(runtime);
  await sandbox.close();
  await expect(sandbox.exec('true')).rejects.toMatchObject({ code: 'VM_CONFIG_INVALID' });
  const other = await runtime.get(sandbox.id);
  expect((await other?.exec('echo here'))?.stdout).toBe('here\n');
});

test('closing the runtime ends what it started, and keeps what is detached', async () => {
  const homeDir = home();
  const first = open(homeDir);
  await started(first, 'attached');
  const detached = await first.create('detached', { detach: true });
  await detached.start();
  await first.close();
  const second = open(homeDir);
  expect((await second.list()).map(({ name, state }) => [name, state])).toEqual([
    ['attached', 'stopped'],
    ['detached', 'running'],
  ]);
  expect((await (await second.get('detached'))?.exec('echo there'))?.stdout).toBe('there\n');
  await second.remove('detached', { force: true });
});

test('no file of the home holds the value of a secret, and a start elsewhere needs it again', async () => {
  const homeDir = home();
  const value = 'value-that-is-nowhere-0123456789';
  const secrets = { API_KEY: { hosts: ['api.example.test'], value } };
  const network = { allowedHosts: ['api.example.test'], secrets };
  const first = open(homeDir);
  const sandbox = await first.create('box', { network });
  await expect(first.create('leaky', { network, env: { COPY: `x${value}` } })).rejects.toMatchObject({
    code: 'VM_CONFIG_INVALID',
    message: expect.not.stringContaining(value),
  });
  await sandbox.start();
  const { stdout } = await sandbox.exec('echo $API_KEY $OTHER', { env: { OTHER: value } });
  expect(stdout).toMatch(/^GWPH_[0-9a-f]{32} GWPH_[0-9a-f]{32}\n$/);
  expect(sandbox.config.network.secrets?.API_KEY).toEqual({ hosts: ['api.example.test'] });
  for (const name of readdirSync(homeDir, { recursive: true, encoding: 'utf8' })) {
    const path = join(homeDir, name);
    if (lstatSync(path).isFile())
      expect([name, readFileSync(path, 'latin1').includes(value)]).toEqual([name, false]);
  }
  await sandbox.stop();
  const again = await open(homeDir).get('box');
  await expect(again?.start()).rejects.toMatchObject({ code: 'SECRET_UNAVAILABLE' });
  await again?.start({ secrets: { API_KEY: value } });
  expect((await again?.exec('echo $API_KEY'))?.stdout).toMatch(/^GWPH_/);
});

test('events of the network and of commands come on one stream, from the first', async () => {
  const runtime = open();
  const sandbox = await started(runtime);
  await sandbox.exec('echo content >made; getent hosts evil.example.test', { user: 'nobody' });
  const seen: string[] = [];
  for await (const event of sandbox.events({ after: 0 })) {
    seen.push(event.type);
    if (event.type === 'file.created')
      expect(event.file).toMatchObject({ op: 'create', path: '/workspace/made' });
    if (seen.includes('file.created') && seen.includes('exec.done')) break;
  }
  expect(seen).toEqual(
    expect.arrayContaining(['vm.started', 'exec.started', 'dns.refused', 'file.created', 'exec.done']),
  );
  const rest = (async () => {
    const types: string[] = [];
    for await (const { type } of sandbox.events()) if (!type.startsWith('file.')) types.push(type);
    return types;
  })();
  await new Promise(resolve => setTimeout(resolve, 100));
  await sandbox.exec('true');
  await sandbox.stop();
  expect(await rest).toEqual(['exec.started', 'exec.done', 'vm.ended']);
});

test('a sandbox without a network has none', async () => {
  const runtime = open();
  const sandbox = await runtime.create('box', { network: { enabled: false } });
  await sandbox.start();
  expect((await sandbox.exec('tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d " "')).stdout).toBe('lo\n');
});

test('a runtime that is closed says so, and closes but once', async () => {
  const runtime = open();
  await runtime.close();
  await runtime.close();
  await expect(runtime.list()).rejects.toMatchObject({ code: 'GATEWAY_CLOSED' });
});

test('an image that is not here is looked for where the runtime says, and a sandbox without one is not made', async () => {
  const asked: string[] = [];
  const registry = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.writeHead(404).end('{"errors":[]}');
  });
  await new Promise<void>(resolve => registry.listen(0, '127.0.0.1', resolve));
  const { port } = registry.address() as AddressInfo;
  try {
    const runtime = new Runtime({ homeDir: home(), imageRegistries: [`127.0.0.1:${port}`] });
    runtimes.push(runtime);
    await expect(runtime.create('box', { backend: 'qemu', image: 'team/none:1' })).rejects.toMatchObject({
      code: expect.stringMatching(/^IMAGE_/),
    });
    expect(asked).toContain('/v2/team/none/manifests/1');
    expect(await runtime.list()).toEqual([]);
  } finally {
    registry.close();
  }
});

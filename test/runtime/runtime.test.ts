import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Runtime } from '../../src/runtime/runtime.js';
import { removeTree } from '../../src/vm/process/root.js';
import { busyboxMembers, writeLayout } from '../vm/image-contract.js';

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

test('a sandbox is made, started, used, stopped and removed', async () => {
  const runtime = open();
  const sandbox = await runtime.create('box', { env: { GREETING: 'hello' } });
  expect(await sandbox.info()).toMatchObject({
    name: 'box',
    state: 'created',
    pid: null,
    backend: 'process',
  });
  await sandbox.start();
  expect(await sandbox.info()).toMatchObject({ state: 'running', pid: expect.any(Number) });
  const result = await sandbox.exec('echo $GREETING; echo err >&2; exit 3');
  expect(result).toMatchObject({ stdout: 'hello\n', stderr: 'err\n', exitCode: 3, signal: null });
  await sandbox.writeFile('/workspace/a', 'content', { mode: 0o600 });
  expect(Buffer.from(await sandbox.readFile('/workspace/a')).toString()).toBe('content');
  expect(await sandbox.listFiles('/workspace')).toMatchObject([
    { name: 'a', mode: 0o600, kind: 'file', sizeBytes: 7 },
  ]);
  expect(await sandbox.searchFiles('/', '/workspace/*')).toEqual([]);
  expect(await sandbox.searchFiles('/workspace', '*')).toHaveLength(1);
  const waiting = sandbox.wait();
  await sandbox.stop();
  expect(await waiting).toEqual({ reason: 'stopped', message: '' });
  expect(await sandbox.info()).toMatchObject({ state: 'stopped', pid: null });
  await runtime.remove('box');
  expect(await runtime.get('box')).toBeNull();
  await expect(sandbox.info()).rejects.toMatchObject({ code: 'VM_NOT_FOUND' });
});

test('a sandbox of processes has the root of its image, keeps what changed, and says what holds it', async () => {
  const homeDir = home();
  const layout = writeLayout(join(homeDir, 'layout'), busyboxMembers(), { Env: ['PATH=/bin'] });
  const runtime = open(homeDir);
  const sandbox = await runtime.create('made', {
    rootfsPath: layout,
    persist: true,
    resources: { pids: 200 },
    network: { enabled: false },
  });
  expect(await sandbox.info()).toMatchObject({ limits: '', notes: [] });
  await sandbox.start();
  expect(await sandbox.info()).toMatchObject({
    state: 'running',
    limits: expect.stringMatching(/^memory 512 MiB .*; processors 1 .*; processes 200 /),
    notes: [],
  });
  const seen = (async () => {
    for await (const { type, file } of sandbox.events()) if (type.startsWith('file.')) return file?.path;
    return null;
  })();
  await sandbox.exec('echo kept >/workspace/new');
  expect(await seen).toBe('/workspace/new');
  await sandbox.stop();
  await sandbox.start();
  expect((await sandbox.exec('cat /workspace/new; ls /bin/busybox')).stdout).toBe('kept\n/bin/busybox\n');
  await sandbox.stop();
  await runtime.remove('made');
  expect(existsSync(join(homeDir, 'sandboxes', sandbox.id))).toBe(false);
});

import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Runtime } from '../../src/runtime/runtime.js';
import { removeTree } from '../../src/vm/process/root.js';

test('a machine of QEMU is started, used and stopped by the same calls', async () => {
  const homeDir = mkdtempSync(join(tmpdir(), 'sallyport-home-'));
  const runtime = new Runtime({ homeDir });
  try {
    const sandbox = await runtime.create('machine', { backend: 'qemu' });
    await sandbox.start();
    const result = await sandbox.exec(
      'uname -s; getent hosts evil.example.test || nslookup evil.example.test; exit 4',
    );
    expect(result).toMatchObject({ exitCode: 4, stdout: expect.stringContaining('Linux') });
    await sandbox.writeFile('/workspace/file', 'content', { mode: 0o600 });
    expect(String(Buffer.from(await sandbox.readFile('/workspace/file')))).toBe('content');
    expect(await sandbox.listFiles('/workspace')).toMatchObject([
      { name: 'file', mode: 0o600, sizeBytes: 7 },
    ]);
    await sandbox.stop();
    expect(await sandbox.info()).toMatchObject({ state: 'stopped', pid: null });
  } finally {
    await runtime.remove('machine', { force: true });
    await runtime.close();
    await removeTree(homeDir);
  }
}, 120_000);

/** Every process below `pid`, itself among them. */
function below(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return [pid, ...text.split(' ').filter(Boolean).map(Number).flatMap(below)];
}

test('a QEMU that is killed is told to who waits, takes nothing else along, and leaves nothing behind', async () => {
  const homeDir = mkdtempSync(join(tmpdir(), 'sallyport-home-'));
  const runtime = new Runtime({ homeDir });
  try {
    const [victim, other] = [
      await runtime.create('victim', { backend: 'qemu', memoryMb: 256 }),
      await runtime.create('other'),
    ];
    await Promise.all([victim.start(), other.start()]);
    const { pid } = await victim.info();
    const folder = join(homeDir, 'sandboxes', victim.id);
    const supervisor = Number(JSON.parse(readFileSync(join(folder, 'sandbox.json'), 'utf8')).supervisor_pid);
    const processes = below(supervisor);
    expect(processes).toContain(pid);
    const run = await victim.execStream('sleep 1000');
    const waiting = victim.wait();
    process.kill(below(pid ?? 0).at(-1) ?? 0, 'SIGKILL');
    expect(await run.exit).toMatchObject({ exitCode: 137 });
    const message = expect.stringContaining('killed from outside (SIGKILL)');
    expect(await waiting).toMatchObject({ reason: 'ended', message });
    await expect(victim.exec('true')).rejects.toMatchObject({ code: 'VM_NOT_RUNNING' });
    while (processes.some(one => existsSync(`/proc/${one}`)))
      await new Promise(resolve => setTimeout(resolve, 20));
    expect(await victim.info()).toMatchObject({ state: 'failed', pid: null, message });
    expect(existsSync(join(folder, 'control.sock'))).toBe(false);
    expect(readdirSync(join(folder, 'machine'))).toEqual([]);
    expect((await other.exec('echo still')).stdout).toBe('still\n');
    await victim.start();
    expect((await victim.exec('echo again')).stdout).toBe('again\n');
  } finally {
    for (const name of ['victim', 'other']) await runtime.remove(name, { force: true });
    await runtime.close();
    await removeTree(homeDir);
  }
}, 240_000);

import { mkdtempSync } from 'node:fs';
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

/** Machines by the library: the same Runtime, another backend. */
import { mkdtempSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Runtime } from '../../src/runtime/runtime.js';
import { removeTree } from '../../src/vm/process/root.js';
import { ensureDefaultImage, ensureGuestFiles } from '../../src/vm/qemu/index.js';
import { guestHome } from '../vm/qemu/stage.js';

const homeDir = mkdtempSync(join(tmpdir(), 'sallyport-home-'));
afterAll(() => removeTree(homeDir));

test('a machine of the runtime starts, asks only the gateway, tells its events, stops and is gone', async () => {
  await ensureGuestFiles(guestHome());
  await ensureDefaultImage(guestHome());
  symlinkSync(join(guestHome(), 'guest'), join(homeDir, 'guest'));
  const runtime = new Runtime({ homeDir });
  try {
    const sandbox = await runtime.create('guest', {
      backend: 'qemu',
      memoryMb: 256,
      env: { GREETING: 'hello' },
    });
    await sandbox.start();
    const { stdout, exitCode } = await sandbox.exec(
      'echo $GREETING; uname -r; curl -sS http://evil.test 2>&1; exit 3',
    );
    expect(stdout).toMatch(/^hello\n.*cloud.*\ncurl: \(6\) Could not resolve host: evil\.test\n$/);
    expect(exitCode).toBe(3);
    const seen: string[] = [];
    for await (const { type } of sandbox.events({ after: 0 })) {
      seen.push(type);
      if (type === 'exec.done') break;
    }
    expect(seen).toEqual(expect.arrayContaining(['exec.started', 'dns.refused', 'exec.done']));
    await sandbox.stop();
    expect(await sandbox.info()).toMatchObject({ state: 'stopped', pid: null, backend: 'qemu' });
    await runtime.remove('guest');
    expect(await runtime.get('guest')).toBeNull();
  } finally {
    await runtime.close();
  }
});

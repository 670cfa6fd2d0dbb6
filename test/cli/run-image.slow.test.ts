import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Workplace } from '../support/cli.js';
import { guestHome } from '../vm/qemu/stage.js';

test('an image that was imported boots, runs its command, and sees a folder of the host read-only', async () => {
  const work = new Workplace();
  const env = { SALLYPORT_STATE: guestHome() };
  const name = `test-${process.pid}:1`;
  try {
    mkdirSync(join(work.dir, 'root/bin'), { recursive: true });
    mkdirSync(join(work.dir, 'share'));
    copyFileSync('/bin/busybox', join(work.dir, 'root/bin/busybox'));
    for (const applet of ['sh', 'cat', 'id']) symlinkSync('busybox', join(work.dir, 'root/bin', applet));
    writeFileSync(join(work.dir, 'share/f'), 'shared\n');
    const imported = await work.sallyport(['image', 'import', join(work.dir, 'root'), name], { env });
    expect(imported).toMatchObject({ code: 0, stdout: expect.stringContaining(name) });
    const flags = ['--vm', '--accel', 'tcg', '--network', 'disabled', '--image', name];
    const volume = ['--volume', `${join(work.dir, 'share')}:x:ro`];
    const command = 'cat /workspace/x/f; echo no >/workspace/x/f; id -u; exit 7';
    const ran = await work.sallyport(['run', ...flags, ...volume, '--', 'sh', '-c', command], { env });
    expect(ran).toMatchObject({ code: 7, stdout: 'shared\n0\n' });
    expect(ran.stderr).toContain('Read-only file system');
  } finally {
    await work.sallyport(['image', 'rm', name], { env });
    work.remove();
  }
});

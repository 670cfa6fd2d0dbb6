import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Workplace } from '../support/cli.js';
import { makeImage } from '../support/image.js';
import { push, startRegistry } from '../support/registry.js';
import { tar } from '../support/tar.js';
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

test('an image that is not here is pulled, digest and all, and boots; the next run asks nobody', async () => {
  const work = new Workplace();
  const registry = await startRegistry(work.dir);
  const env = { SALLYPORT_STATE: guestHome() };
  const repository = `team/test-${process.pid}`;
  try {
    const image = makeImage({
      layers: [
        tar(
          { name: 'bin', type: 'directory' },
          { name: 'bin/busybox', mode: 0o755, content: readFileSync('/bin/busybox') },
          { name: 'bin/sh', type: 'symlink', link: 'busybox' },
        ),
      ],
      config: { Entrypoint: ['/bin/sh', '-c'] },
    });
    await push(registry.host, repository, image, '1');
    const flags = ['--vm', '--accel', 'tcg', '--network', 'disabled', '--registry', registry.host];
    const name = `${repository}@${image.manifest.digest}`;
    const argv = ['run', ...flags, '--image', name, '--', 'echo $((6 * 7)); exit 9'];
    const first = await work.sallyport(argv, { env });
    expect(first).toMatchObject({
      code: 9,
      stdout: '42\n',
      stderr: expect.stringContaining(`pulling ${name}`),
    });
    await registry.stop();
    const second = await work.sallyport(argv, { env });
    expect(second).toMatchObject({ code: 9, stdout: '42\n', stderr: expect.not.stringContaining('pulling') });
  } finally {
    await registry.stop();
    await work.sallyport(['image', 'rm', `${registry.host}/${repository}@latest`], { env });
    work.remove();
  }
});

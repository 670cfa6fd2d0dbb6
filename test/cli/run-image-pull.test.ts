import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Workplace } from '../support/cli.js';
import { makeImage } from '../support/image.js';
import { push, type Registry, startRegistry } from '../support/registry.js';
import { tar } from '../support/tar.js';

let work: Workplace;
beforeEach(() => {
  work = new Workplace();
});
afterEach(() => work.remove());

const made = makeImage({ layers: [tar({ name: 'hello', content: 'hello' })] });
const other = `sha256:${'0'.repeat(64)}`;

const run = (...flags: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> =>
  work.sallyport(['run', '--vm', '--accel', 'tcg', '--network', 'disabled', ...flags, '--', 'true']);

test.each([
  ['run --pull never', ['run', '--vm', '--image', 'team/app:1', '--pull', 'never', '--', 'true'], 125],
  ['vm create', ['vm', 'create', '--backend', 'qemu', '--image', 'team/app:1', '--pull', 'never', 'box'], 1],
])('sallyport %s says where a registry is named, and asks none', async (_, args, expected) => {
  const { code, stdout, stderr } = await work.sallyport(args);
  expect({ code, stdout }).toEqual({ code: expected, stdout: '' });
  expect(stderr).toContain('there is no image team/app:1 here, and no registry may be asked for it');
  expect(stderr).toContain('imageRegistries');
  expect(stderr).toContain('--registry');
});

describe('with a registry', () => {
  let registry: Registry;
  beforeEach(async () => {
    registry = await startRegistry(work.dir);
    await push(registry.host, 'team/app', made, '1');
  });
  afterEach(() => registry.stop());

  test('sallyport run --vm refuses an image that is not of the digest in its name, and leaves nothing', async () => {
    const { code, stderr } = await run('--image', `${registry.host}/team/app@${other}`);
    expect(code).toBe(125);
    expect(stderr).toContain('is not there');
    expect(await run('--registry', registry.host, '--image', 'team/none:1')).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('manifests/1 is not there'),
    });
    expect(readdirSync(join(work.dir, 'state/images/refs'))).toEqual([]);
    expect(existsSync(join(work.dir, 'state/run'))).toBe(false);
  });

  test('sallyport vm create pulls what is not here, tells how far it is, and the second time asks nobody', async () => {
    const flags = ['--backend', 'qemu', '--registry', registry.host, '--image', 'team/app:1'];
    const created = await work.sallyport(['vm', 'create', ...flags, 'one']);
    expect(created).toMatchObject({ code: 0, stdout: expect.stringMatching(/^[0-9a-f]{12}\n$/) });
    expect(created.stderr).toMatch(/^sallyport: pulling team\/app:1\n([0-9a-f]{12}: \d+ bytes\n){2}$/);
    await registry.stop();
    const again = await work.sallyport(['vm', 'create', ...flags, 'two']);
    expect(again).toMatchObject({ code: 0, stderr: '' });
    const { stdout } = await work.sallyport(['vm', 'info', 'two']);
    expect(JSON.parse(stdout)).toMatchObject({ image: `${registry.host}/team/app:1` });
  });
});

test('sallyport run --vm ends at a Ctrl-C while it pulls, with 130, and leaves nothing', async () => {
  const silent = createServer(() => child.kill('SIGINT')).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as { port: number };
  const child = work.start(['run', '--vm', '--image', `127.0.0.1:${port}/team/app:1`, '--', 'true']);
  let said = '';
  child.stderr.on('data', chunk => {
    said += String(chunk);
  });
  const [code] = await once(child, 'close');
  silent.closeAllConnections();
  silent.close();
  expect(said).toContain('stopped before the command ran');
  expect(code).toBe(130);
  expect(readdirSync(join(work.dir, 'state/images/refs'))).toEqual([]);
});

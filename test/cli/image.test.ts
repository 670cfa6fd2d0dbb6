import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Workplace } from '../support/cli.js';
import { layoutFiles, makeImage, writeFiles } from '../support/image.js';
import { push, startRegistry } from '../support/registry.js';
import { tar } from '../support/tar.js';

let work: Workplace;
beforeEach(() => {
  work = new Workplace();
});
afterEach(() => work.remove());

const made = makeImage({ layers: [tar({ name: 'hello', content: 'hello' })], config: { Cmd: ['/hello'] } });
const layout = (): string => writeFiles(join(work.dir, 'layout'), layoutFiles(made));

test('sallyport image import, ls, inspect and rm tell of one image from its coming to its going', async () => {
  const imported = await work.sallyport(['image', 'import', layout(), 'hello:1']);
  expect(imported).toMatchObject({ code: 0, stdout: `hello:1 ${made.manifest.digest}\n` });
  const listed = await work.sallyport(['image', 'ls']);
  expect(listed.stdout).toMatch(/^NAME +MANIFEST +SIZE\nhello:1 +[0-9a-f]{12} +\d+ B\n$/);
  const inspected = await work.sallyport(['image', 'inspect', 'hello:1']);
  expect(JSON.parse(inspected.stdout)).toMatchObject({ name: 'hello:1', config: { cmd: ['/hello'] } });
  expect(await work.sallyport(['image', 'rm', 'hello:1'])).toMatchObject({
    code: 0,
    stdout: 'removed hello:1\n',
  });
  expect(readdirSync(join(work.dir, 'state/images/blobs/sha256'))).toEqual([]);
  expect((await work.sallyport(['image', 'ls', '--json'])).stdout).toBe('');
});

test.each([
  { args: ['image', 'inspect', 'none'], code: 1, says: 'none: no such image' },
  { args: ['image', 'rm', 'none'], code: 1, says: 'none: no such image' },
  { args: ['image', 'inspect', 'No_Name!'], code: 2, says: 'no name of an image' },
  { args: ['image', 'import', '/nothing/here'], code: 1, says: '/nothing/here: ENOENT' },
  { args: ['image', 'import', '/', '--platform', 'linux'], code: 2, says: 'linux/ARCH' },
  { args: ['image', 'import'], code: 2, says: 'missing required argument' },
])('sallyport $args exits $code and says $says', async ({ args, code, says }) => {
  const finished = await work.sallyport(args);
  expect(finished.code).toBe(code);
  expect(finished.stderr).toContain(says);
});

test('sallyport image pull brings an image, and says how far it is', async () => {
  const registry = await startRegistry(work.dir);
  try {
    await push(registry.host, 'hello', made, '1');
    const pulled = await work.sallyport(['image', 'pull', '--registry', registry.host, 'hello:1']);
    expect(pulled).toMatchObject({ code: 0, stdout: `${registry.host}/hello:1 ${made.manifest.digest}\n` });
    expect(pulled.stderr.trim().split('\n')).toHaveLength(2);
    const missing = await work.sallyport(['image', 'pull', `${registry.host}/hello:2`]);
    expect(missing).toMatchObject({ code: 1, stdout: '' });
    expect(missing.stderr).toContain('manifests/2 is not there');
  } finally {
    await registry.stop();
  }
});

test('sallyport image pull ends at a Ctrl-C with 130, and leaves no name behind', async () => {
  const silent = createServer(() => child.kill('SIGINT')).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as { port: number };
  const child = work.start(['image', 'pull', `127.0.0.1:${port}/hello:1`]);
  const [code] = await once(child, 'close');
  silent.closeAllConnections();
  silent.close();
  expect(code).toBe(130);
  expect((await work.sallyport(['image', 'ls', '--json'])).stdout).toBe('');
});

test('sallyport image import refuses a hostile archive, names the member, and keeps nothing', async () => {
  const path = work.file('evil.tar', tar({ name: '../../etc/cron.d/x', content: 'x' }));
  const finished = await work.sallyport(['image', 'import', path, 'evil']);
  expect(finished).toMatchObject({ code: 1, stdout: '' });
  expect(finished.stderr).toContain('../../etc/cron.d/x (escapes)');
  expect((await work.sallyport(['image', 'prune'])).stdout).toMatch(/^freed /);
  expect(readdirSync(join(work.dir, 'state/images/blobs/sha256'))).toEqual([]);
});

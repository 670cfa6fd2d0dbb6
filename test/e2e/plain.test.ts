/** A machine without nft: the plain door, from doctor to an answered request. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { findProgram } from '../../src/net/vestibule/index.js';
import { MAIN, Workplace } from '../support/cli.js';

const run = promisify(execFile);
const NFT = findProgram('nft') ?? '';
const place = new Workplace();

afterAll(() => place.remove());

/** Runs the command line where nft cannot be found: a mount namespace in which its file is no program. */
async function withoutNft(...args: readonly string[]): Promise<string> {
  const script = `mount --bind /dev/null ${NFT} && exec "$@"`;
  const command = ['sh', '-c', script, 'sh', process.execPath, MAIN, ...args];
  const env = { PATH: process.env.PATH, HOME: place.dir, SALLYPORT_STATE: `${place.dir}/state` };
  const { stdout } = await run('unshare', ['--user', '--map-root-user', '--mount', '--', ...command], {
    env,
  });
  return stdout;
}

test('doctor shows a machine without nft as fit, by the plain door', async () => {
  const table = await withoutNft('doctor');
  expect(table).toMatch(/^nft +absent +not installed \(nftables\): sandboxes get the plain door/m);
  expect(table).toMatch(/^namespaces and rules +ok +tried, the plain door$/m);
});

test('without nft, demo shows the same five outcomes', async () => {
  const story = await withoutNft('demo');
  expect(story).toMatch(/^5 outcomes, /m);
  expect(story).toMatch(/"type":"request\.done".*"secrets":\["API_TOKEN"\]/);
  for (const reason of ['no-rule', 'method-not-allowed', 'private-address', 'secret-leak']) {
    expect(story).toContain(`"reason":"${reason}"`);
  }
});

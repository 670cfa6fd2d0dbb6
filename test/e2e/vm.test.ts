/** What `run --vm` refuses before anything boots. */
import { spawnSync } from 'node:child_process';
import { MAIN, Workplace } from '../support/cli.js';

const place = new Workplace();
afterAll(() => place.remove());

const refusals = [
  { name: 'a network past the gateway', flags: ['--network', 'bridged'], says: 'past the gateway' },
  { name: 'a folder of this machine', flags: ['--bind', '/tmp'], says: 'not for --vm' },
  { name: 'no processor', flags: ['--cpus', '0'], says: "--cpus: '0' is not a whole number above zero" },
  { name: 'memory that is no number', flags: ['--memory', '1G'], says: "--memory: '1G'" },
];

for (const { name, flags, says } of refusals) {
  test(`run --vm refuses ${name}`, async () => {
    const { code, stderr } = await place.sallyport(['run', '--vm', ...flags, '--', 'true']);
    expect(stderr).toContain(says);
    expect(code).toBe(125);
  });
}

test('a /dev/net/tun that makes no TAP is told with the line that mends it', () => {
  const script = 'mount --bind /dev/null /dev/net/tun && exec "$@"';
  const run = [process.execPath, MAIN, 'run', '--vm', '--', 'true'];
  const { status, stderr } = spawnSync(
    'unshare',
    ['--user', '--map-root-user', '--mount', 'sh', '-c', script, 'sh', ...run],
    {
      env: { PATH: process.env.PATH, HOME: place.dir, SALLYPORT_STATE: `${place.dir}/state` },
      encoding: 'utf8',
    },
  );
  expect(stderr).toContain('chmod 0666 /dev/net/tun');
  expect(status).toBe(125);
});

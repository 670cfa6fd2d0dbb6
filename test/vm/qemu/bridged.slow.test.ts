import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ensureDefaultImage, ensureGuestFiles } from '../../../src/vm/index.js';
import { MAIN, Workplace } from '../../support/cli.js';
import { guestHome } from './stage.js';

/** A bridge with a peer on it, in network namespaces of their own: nothing of this machine's network is touched. */
const STAGE = `
set -e
ip link set lo up
ip link add br0 type bridge
ip link set br0 up
unshare --net sh -c 'echo $$ >"$FOLDER/peer"; exec sleep 300' &
while [ ! -s "$FOLDER/peer" ]; do sleep 0.05; done
peer=$(cat "$FOLDER/peer")
trap 'kill $peer' EXIT
ip link add port0 type veth peer name eth0 netns $peer
ip link set port0 master br0 up
in_peer() { nsenter --target $peer --net -- "$@"; }
in_peer ip addr add 192.0.2.20/24 dev eth0
in_peer ip link set eth0 up
sallyport() { "$NODE" "$MAIN" "$@"; }
`;

const isRoot = process.getuid?.() === 0;
const whereRoot = isRoot ? describe : describe.skip;

whereRoot('a bridged machine (needs root: only root may have one)', () => {
  let work: Workplace;
  beforeAll(async () => {
    await ensureGuestFiles(guestHome());
    await ensureDefaultImage(guestHome());
  }, 300_000);
  beforeEach(() => {
    work = new Workplace();
  });
  afterEach(() => work.remove());

  async function stage(script: string): Promise<string> {
    const { stdout } = await promisify(execFile)('unshare', ['--net', 'sh', '-c', STAGE + script], {
      env: {
        PATH: process.env.PATH,
        HOME: work.dir,
        NODE: process.execPath,
        ...{ MAIN, FOLDER: work.dir, SALLYPORT_STATE: guestHome() },
      },
    });
    return stdout;
  }

  test('reaches its neighbour, who sees its own MAC, and leaves no interface behind', async () => {
    const stdout = await stage(`
sallyport run --quiet --event-log "$FOLDER/events" --vm --accel tcg --network bridged --bridge br0,192.0.2.10/24,192.0.2.20 -- \\
  sh -c 'cat /sys/class/net/eth0/address; ip route; ping -c 1 192.0.2.20 >/dev/null && echo reached' 2>"$FOLDER/said"
in_peer ip neigh show 192.0.2.10
grep -c "past the gateway: no policy is applied" "$FOLDER/said"
grep vm.started "$FOLDER/events" | grep -c "past the gateway: no policy is applied"
ip -br link show type tun
echo end`);
    const [mac = '', ...lines] = stdout.trim().split('\n');
    expect(mac).toMatch(/^02:53(:[0-9a-f]{2}){4}$/);
    expect(lines[0]).toContain('default via 192.0.2.20 dev eth0');
    expect(lines).toContain('reached');
    expect(stdout).toContain(`192.0.2.10 dev eth0 lladdr ${mac}`);
    expect(lines.slice(-3)).toEqual(['1', '1', 'end']);
  }, 180_000);

  test('is told of as such by a sandbox that stays, and its interface ends with a killed supervisor', async () => {
    const name = `bridged-${process.pid}`;
    const stdout = await stage(`
trap 'sallyport vm rm --force ${name} >/dev/null 2>&1; kill $peer' EXIT
sallyport vm create ${name} --backend qemu --network bridged --bridge br0,192.0.2.10/24 >/dev/null
sallyport vm start ${name}
sallyport vm exec ${name} -- sh -c 'ping -c 1 192.0.2.20 >/dev/null && echo reached'
sallyport vm info ${name} | grep -c 'bridged to br0, past the gateway'
sallyport vm logs ${name} | grep vm.started | grep -c 'no policy is applied'
echo taps $(ip -br link show type tun | wc -l)
id=$(sallyport vm info ${name} | sed -n 's/.*"id": "\\([0-9a-f]*\\)".*/\\1/p' | head -1)
kill -9 $(pgrep -f "supervise.js $id")
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  [ -z "$(ip -br link show type tun)" ] && break; sleep 0.5
done
echo taps $(ip -br link show type tun | wc -l)`);
    expect(stdout.trim().split('\n')).toEqual(['reached', '1', '1', 'taps 1', 'taps 0']);
  }, 240_000);

  test.each([
    { args: '--bridge none0', says: 'there is no bridge none0 on this host' },
    { args: '--bridge lo', says: 'there is no bridge lo on this host' },
    { args: '--bridge br0 --allow example.test --secret TOKEN=value@example.test', says: 'network.secrets' },
    { args: '--bridge br0 --publish 8080:80', says: '--publish leads through the gate' },
    { args: '--bridge br0,192.0.2.10', says: 'address: is not ADDRESS/LENGTH' },
    { args: '--bridge ../br0', says: 'bridge: is not the name of an interface' },
  ])(
    'is refused with $args, and nothing runs',
    async ({ args, says }) => {
      const stdout = await stage(`
sallyport run --vm --network bridged ${args} -- echo ran 2>&1 || echo code $?
ip -br link show type tun
`);
      expect(stdout).toContain(says);
      expect(stdout.trim().split('\n').at(-1)).toBe('code 125');
      expect(stdout).not.toContain('ran\n');
    },
    60_000,
  );
});

test('an ordinary user is refused a bridged machine', () => {
  const nobody = isRoot ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : [];
  const [program = '', ...args] = [
    ...nobody,
    ...[
      process.execPath,
      MAIN,
      'run',
      '--vm',
      '--network',
      'bridged',
      '--bridge',
      'br0',
      '--',
      'echo',
      'ran',
    ],
  ];
  const { status, stdout, stderr } = spawnSync(program, args, {
    env: { PATH: process.env.PATH, SALLYPORT_STATE: join('/tmp', `sallyport-test-bridged-${process.pid}`) },
    encoding: 'utf8',
  });
  spawnSync('rm', ['-rf', join('/tmp', `sallyport-test-bridged-${process.pid}`)]);
  expect({ status, stdout }).toEqual({ status: 125, stdout: '' });
  expect(stderr).toContain('only root may ask for it');
});

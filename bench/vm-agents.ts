/**
 * Ways to start commands and move files in a guest without its network, each over one virtio-serial port of the same
 * guest: our agent, sshd, dropbear (by a relay in the guest, since it wants a socket), qemu-guest-agent.
 *
 * Run: node .cache/tools/bench/vm-agents.js [--mib N]; needs ssh2 in .cache/bench/npm (bench/install.sh).
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Duplex, Readable } from 'node:stream';
import { parseArgs } from 'node:util';
import { cpuTimeUs, familyOf } from './machine.js';
import { type BareGuest, bareGuest, PORT, programsAs, unpackPackages } from './vm-guest.js';

const { values } = parseArgs({ options: { mib: { type: 'string' } } });
const MIB = Number(values.mib ?? 16);
const TRIPS = 20;
const MEBIBYTE = 1 << 20;
const home = join(process.cwd(), '.cache', 'bench', 'vm');
const scratch = mkdtempSync(join(tmpdir(), 'sallyport-bench-agents-'));
const packages = join(home, 'rivals');
const root = join(packages, 'root');
const NAMES = [
  'openssh-server',
  'dropbear-bin',
  'qemu-guest-agent',
  'libwrap0',
  'libtomcrypt1',
  'libtommath1',
  'liburing2',
];

/** What is measured of each. */
interface Way {
  run(command: string): Promise<void>;
  write(path: string, bytes: Buffer): Promise<void>;
  read(path: string): Promise<number>;
}

const port = '/dev/$(cd /sys/class/virtio-ports && grep -l rival */name | cut -d/ -f1)';

/** Those of the packages; where they are in the guest, its loader looks. */
function libraries(): readonly { readonly from: string; readonly to: string }[] {
  return ['lib', 'usr/lib'].flatMap(folder => {
    const at = join(root, folder, 'x86_64-linux-gnu');
    const names = existsSync(at) ? readdirSync(at).filter(name => /\.so\./.test(name)) : [];
    return names.map(name => ({ from: join(at, name), to: `usr/lib/x86_64-linux-gnu/${name}` }));
  });
}

async function prepared(): Promise<BareGuest> {
  const guest = await bareGuest({ home, more: PORT });
  const archive = await programsAs([
    { from: join(root, 'usr/sbin/sshd'), to: 'usr/sbin/sshd' },
    { from: join(root, 'usr/sbin/dropbear'), to: 'usr/sbin/dropbear' },
    { from: join(root, 'usr/sbin/qemu-ga'), to: 'usr/sbin/qemu-ga' },
    ...libraries(),
  ]);
  await guest.exec('cd / && cpio -idmu 2>/dev/null', archive);
  const put = (path: string, content: string | Buffer, mode = '600'): Promise<string> =>
    guest.exec(`mkdir -p $(dirname ${path}); cat >${path}; chmod ${mode} ${path}`, Buffer.from(content));
  await put('/keys/host', readFileSync(join(scratch, 'host')));
  await put('/root/.ssh/authorized_keys', readFileSync(join(scratch, 'user.pub')));
  await put('/etc/shells', '/bin/sh\n', '644');
  await put('/etc/passwd', 'root:x:0:0::/root:/bin/sh\nsshd:x:99:99::/run/sshd:/bin/false\n', '644');
  await put('/etc/shadow', 'root:*:1::::::\n');
  await put(
    '/keys/config',
    'HostKey /keys/host\nPermitRootLogin yes\nUsePAM no\nStrictModes no\nAuthorizedKeysFile /root/.ssh/authorized_keys\n',
  );
  await guest.exec(
    'chmod 700 /root /root/.ssh; chown -R 0:0 /root; mkdir -p /run/sshd; ip link set lo up || true',
  );
  return guest;
}

/** The part of ssh2 that is used. */
interface Channel extends Duplex {
  readonly stderr: Readable;
}
interface Client {
  on(event: string, listener: (...args: never[]) => void): Client;
  connect(options: object): void;
  exec(command: string, told: (error: Error | undefined, channel: Channel) => void): void;
}

async function overSsh(sock: Duplex): Promise<Way> {
  const require = createRequire(join(process.cwd(), '.cache/bench/npm/package.json'));
  const { Client: Made } = require('ssh2') as { readonly Client: new () => Client };
  const client = new Made();
  await new Promise<void>((resolve, reject) => {
    client.on('ready', () => resolve());
    client.on('error', (error: never) => reject(error));
    client.connect({
      sock,
      username: 'root',
      privateKey: readFileSync(join(scratch, 'user')),
      readyTimeout: 60_000,
    });
  });
  const start = (command: string): Promise<Channel> =>
    new Promise((resolve, reject) =>
      client.exec(command, (error, channel) => (error ? reject(error) : resolve(channel))),
    );
  const drained = async (channel: Channel): Promise<number> => {
    channel.stderr.resume();
    let bytes = 0;
    for await (const chunk of channel) bytes += (chunk as Buffer).length;
    return bytes;
  };
  return {
    run: async command => void (await drained(await start(command))),
    write: async (path, bytes) => {
      const channel = await start(`cat >${path}`);
      const read = drained(channel);
      channel.end(bytes);
      await read;
    },
    read: async path => await drained(await start(`cat ${path}`)),
  };
}

/** One request at a time, as its protocol is. */
function overGuestAgent(link: Duplex): Way {
  const lines = createInterface({ input: link })[Symbol.asyncIterator]();
  const ask = async (execute: string, args: object = {}): Promise<Record<string, unknown>> => {
    link.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    const { return: answer, error } = JSON.parse((await lines.next()).value as string);
    if (error !== undefined) throw new Error(JSON.stringify(error));
    return answer as Record<string, unknown>;
  };
  const CHUNK = 48 * 1024 * 64;
  return {
    run: async command => {
      const { pid } = await ask('guest-exec', {
        path: '/bin/sh',
        arg: ['-c', command],
        'capture-output': true,
      });
      while ((await ask('guest-exec-status', { pid })).exited !== true);
    },
    write: async (path, bytes) => {
      const handle = (await ask('guest-file-open', { path, mode: 'w' })) as unknown as number;
      for (let at = 0; at < bytes.length; at += CHUNK)
        await ask('guest-file-write', {
          handle,
          'buf-b64': bytes.subarray(at, at + CHUNK).toString('base64'),
        });
      await ask('guest-file-close', { handle });
    },
    read: async path => {
      const handle = (await ask('guest-file-open', { path, mode: 'r' })) as unknown as number;
      let bytes = 0;
      for (;;) {
        const { 'buf-b64': text, eof } = await ask('guest-file-read', { handle, count: CHUNK });
        bytes += Buffer.from(text as string, 'base64').length;
        if (eof === true) break;
      }
      await ask('guest-file-close', { handle });
      return bytes;
    },
  };
}

function ownAgent(guest: BareGuest): Way {
  return {
    run: async command => void (await guest.exec(command)),
    write: async (path, bytes) =>
      void (await guest.exec(`cat >${path}`, Readable.from([bytes], { objectMode: false }))),
    read: async path => (await guest.exec(`cat ${path}`)).length,
  };
}

async function measure(guest: BareGuest, way: Way): Promise<readonly string[]> {
  const cpu = (): number => cpuTimeUs(familyOf(guest.pid)) / 1000;
  const timed = async (work: () => Promise<unknown>): Promise<{ ms: number; cpuMs: number }> => {
    const [from, before] = [performance.now(), cpu()];
    await work();
    return { ms: performance.now() - from, cpuMs: cpu() - before };
  };
  await way.run('true');
  const trips: { ms: number; cpuMs: number }[] = [];
  for (let trip = 0; trip < TRIPS; trip += 1) trips.push(await timed(() => way.run('true')));
  const trip = [...trips].sort((a, b) => a.ms - b.ms)[TRIPS >> 1];
  const bytes = Buffer.alloc(MIB * MEBIBYTE, 'a');
  const wrote = await timed(() => way.write('/tmp/bulk', bytes));
  const read = await timed(async () => {
    const count = await way.read('/tmp/bulk');
    if (count !== bytes.length) throw new Error(`${count} bytes came back`);
  });
  const rate = ({ ms, cpuMs }: { ms: number; cpuMs: number }): string =>
    `${((MIB * 1000) / ms).toFixed(1)} MiB/s, ${(cpuMs / MIB).toFixed(0)} ms a MiB`;
  return [`${trip?.ms.toFixed(0)} ms, ${trip?.cpuMs.toFixed(0)} ms`, rate(wrote), rate(read)];
}

const RIVALS: readonly { readonly name: string; readonly start: string; readonly ssh: boolean }[] = [
  { name: 'sshd -i', start: `/usr/sbin/sshd -i -f /keys/config 0<>${port} 1>&0 2>/dev/null &`, ssh: true },
  {
    name: 'dropbear, relayed',
    start: `dropbear -R -F -E -p 127.0.0.1:22 2>/dev/null & sleep 2; nc 127.0.0.1 22 0<>${port} 1>&0 &`,
    ssh: true,
  },
  {
    name: 'qemu-guest-agent',
    start: `/usr/sbin/qemu-ga -m virtio-serial -p ${port} -t /run 2>/dev/null &`,
    ssh: false,
  },
];

async function rival({ start, ssh }: (typeof RIVALS)[number]): Promise<readonly string[]> {
  const guest = await prepared();
  try {
    await guest.exec(`(mkdir -p /etc/dropbear /run; ${start}) >/dev/null 2>&1 </dev/null`);
    return await measure(guest, ssh ? await overSsh(guest.port) : overGuestAgent(guest.port));
  } catch (error) {
    return [String(error), '', ''];
  } finally {
    await guest.close();
  }
}

try {
  if (!existsSync(root)) unpackPackages(NAMES, packages);
  for (const name of ['host', 'user'])
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(scratch, name)]);
  const guest = await prepared();
  console.log('| | one command | a file in | the same out |\n|---|---|---|---|');
  console.log(`| own | ${(await measure(guest, ownAgent(guest))).join(' | ')} |`);
  await guest.close();
  for (const each of RIVALS) console.log(`| ${each.name} | ${(await rival(each)).join(' | ')} |`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Machine } from '../../../src/vm/backend.js';
import { ensureDefaultImage, ensureGuestFiles } from '../../../src/vm/qemu/index.js';
import { QemuMachine } from '../../../src/vm/qemu/machine.js';
import { MAIN, Workplace } from '../../support/cli.js';
import { configOf, createMachine, guestHome, removeFolders } from './stage.js';

/** Guests that misbehave: each a clear error, and nothing that outlives it. */
afterAll(removeFolders);

/** The last of the chain: QEMU itself. */
function monitorOf(pid: number): number {
  const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  return first === undefined || first === '' ? pid : monitorOf(Number(first));
}

describe('a machine whose guest does what it should not', () => {
  let machine: Machine;
  let shown = 0;

  beforeAll(async () => {
    machine = await createMachine(
      { resources: { cpus: 1, memoryMb: 256, diskSizeMb: 64, timeoutSeconds: 60 } },
      {
        onConsole: bytes => {
          shown += bytes.length;
        },
      },
    );
    await machine.start();
  });
  afterAll(() => machine.close());

  test('answers while it floods its console', async () => {
    const flood = await machine.execStream('yes "$(head -c 500 /dev/zero | tr "\\0" x)" >/dev/console');
    flood.stdout.resume();
    flood.stderr.resume();
    for (let round = 0; round < 5; round += 1) {
      expect((await machine.exec(`echo ${round}`)).stdout).toBe(`${round}\n`);
    }
    flood.kill('SIGKILL');
    await flood.exit;
    expect(shown).toBeGreaterThan(10_000);
  });

  test('has a full disk as an error of its own, and works when there is room again', async () => {
    const filled = await machine.exec('dd if=/dev/zero of=/fill bs=1M count=200');
    expect(filled.exitCode).not.toBe(0);
    expect(filled.stderr).toMatch(/No space left/);
    await expect(machine.writeFile('/workspace/big', Buffer.alloc(1 << 20))).rejects.toMatchObject({
      code: 'FILE_FAILED',
      message: expect.stringContaining("the sandbox's disk is full"),
    });
    expect((await machine.exec('rm /fill; ls -A /workspace')).stdout).toBe('');
    await machine.writeFile('/workspace/big', Buffer.alloc(1 << 20));
  });

  test('stands still: a command is over when its time is, and the next one after it goes on', async () => {
    const pid = monitorOf(machine.pid ?? 0);
    process.kill(pid, 'SIGSTOP');
    try {
      await expect(machine.exec('true', { timeoutMs: 300 })).rejects.toMatchObject({ code: 'TIMEOUT' });
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    expect((await machine.exec('echo on')).stdout).toBe('on\n');
  });

  test('panics: the machine ends, who waits is told why, and commands say that it does not run', async () => {
    const waiting = machine.wait();
    const command = machine.exec('echo c >/proc/sysrq-trigger; sleep 60');
    expect(await waiting).toMatchObject({ reason: 'ended', message: expect.stringMatching(/panic|crash/i) });
    expect((await command).exitCode).not.toBe(0);
    await expect(machine.exec('true')).rejects.toMatchObject({ code: 'VM_NOT_RUNNING' });
    await expect(machine.readFile('/etc/passwd')).rejects.toMatchObject({ code: 'VM_NOT_RUNNING' });
    expect(machine.pid).toBeNull();
  });
});

test('a guest that reboots has ended: nothing starts again by itself', async () => {
  const machine = await createMachine();
  await machine.start();
  const waiting = machine.wait();
  await machine.exec('reboot -f').catch(() => {});
  expect(await waiting).toMatchObject({ reason: 'ended' });
  await machine.close();
});

test('a machine that does not come up in time is ended, with the last of its console', async () => {
  const machine = await createMachine({}, { bootTimeoutMs: 400 });
  await expect(machine.start()).rejects.toMatchObject({
    code: 'VM_START_FAILED',
    message: expect.stringContaining('did not come up within 400 ms'),
  });
  expect(machine.pid).toBeNull();
  await machine.close();
});

test('an image that is none is told in the words of the guest’s console', async () => {
  const home = guestHome();
  const guest = await ensureGuestFiles(home);
  await ensureDefaultImage(home);
  const machine = new QemuMachine(configOf(), {
    guest,
    lower: { path: join(home, 'guest', 'kernel.json'), fsType: 'squashfs' },
    imageConfig: {},
    accel: 'tcg',
    bootTimeoutMs: 60_000,
  });
  await expect(machine.start()).rejects.toMatchObject({
    code: 'VM_START_FAILED',
    message: expect.stringContaining("the image's file system cannot be mounted"),
  });
  await machine.close();
});

test('a caller that gives up while it boots leaves no machine', async () => {
  const machine = await createMachine();
  const controller = new AbortController();
  const starting = machine.start(controller.signal);
  setTimeout(() => controller.abort(new Error('enough')), 500);
  await expect(starting).rejects.toThrow('enough');
  expect(machine.pid).toBeNull();
  await machine.close();
});

test('what is kept is there again, what is not kept is gone', async () => {
  const config = configOf({ persist: true });
  const first = await createMachine(config);
  await first.start();
  await first.writeFile('/kept', 'yes');
  await first.stop({ graceMs: 100 });
  const second = await createMachine(config);
  await second.start();
  expect(Buffer.from(await second.readFile('/kept')).toString()).toBe('yes');
  await second.close();
});

test('a disk of the host that is full is an error in the guest, not a machine that stands still', async () => {
  const work = new Workplace();
  const state = join(work.dir, 'state');
  mkdirSync(join(state, 'run'), { recursive: true });
  await (await createMachine()).close();
  symlinkSync(join(guestHome(), 'guest'), join(state, 'guest'));
  // A disk of its own for what runs keep, gone with the mount namespace.
  const script = 'mount -t tmpfs -o size=24m,mode=0700 none "$1" && shift && exec "$@"';
  const guest = 'dd if=/dev/zero of=/fill bs=1M count=64 conv=fsync; echo "dd $?"; echo still here';
  const flags = ['--vm', '--accel', 'tcg', '--network', 'disabled', '--quiet'];
  const run = [process.execPath, MAIN, 'run', ...flags, '--', 'sh', '-c', guest];
  const { status, stdout, stderr } = spawnSync(
    'unshare',
    ['--user', '--map-root-user', '--mount', 'sh', '-c', script, 'sh', join(state, 'run'), ...run],
    { env: { PATH: process.env.PATH, HOME: work.dir, SALLYPORT_STATE: state }, encoding: 'utf8' },
  );
  work.remove();
  expect(stderr).toMatch(/error|full|space/i);
  expect(stdout).toBe('dd 1\nstill here\n');
  expect(status).toBe(0);
});

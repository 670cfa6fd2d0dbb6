import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Machine, VMConfig } from '../../../src/vm/backend.js';
import { processBackend } from '../../../src/vm/process/backend.js';
import { groupFiles, limitsText, placesOf, rlimitArgs } from '../../../src/vm/process/limits.js';
import { removeTree } from '../../../src/vm/process/root.js';
import { Workplace } from '../../support/cli.js';

const MIB = 1024 * 1024;
const LIMITS = { memoryBytes: 64 * MIB, cpus: 0.5, pids: 40 };

describe('the places for control groups', () => {
  const unified = '35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n';
  const legacy =
    '36 24 0:31 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n37 24 0:32 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n';

  test.each([
    {
      name: 'version 2: our own group, and the one above',
      cgroups: '0::/user.slice/user@1000.service/app.slice/x.scope\n',
      mounts: unified,
      parents: [
        '/sys/fs/cgroup/user.slice/user@1000.service/app.slice/x.scope',
        '/sys/fs/cgroup/user.slice/user@1000.service/app.slice',
      ],
    },
    {
      name: 'version 2 at its root: nothing above',
      cgroups: '0::/\n',
      mounts: unified,
      parents: ['/sys/fs/cgroup'],
    },
    { name: 'a group outside what is mounted', cgroups: '0::/../other\n', mounts: unified, parents: [] },
    { name: 'nothing mounted', cgroups: '0::/\n', mounts: '', parents: [] },
    {
      name: 'version 1: our own group of each that holds something',
      cgroups: '9:name=systemd:/\n4:memory:/a b\n3:cpu,cpuacct:/\n0::/\n',
      mounts: legacy,
      parents: ['/sys/fs/cgroup/memory/a b', '/sys/fs/cgroup/cpu,cpuacct'],
    },
  ])('$name', ({ cgroups, mounts, parents }) => {
    expect(placesOf(cgroups, mounts).flatMap(place => place.parents)).toEqual(parents);
  });

  test('whatever the kernel says is read without a throw, and no place leads out of its mount', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (cgroups, mounts) => {
        for (const { parents } of placesOf(`0::/${cgroups}\n${cgroups}`, `${unified}${mounts}`))
          for (const parent of parents) expect(parent.startsWith('/')).toBe(true);
      }),
    );
    expect(placesOf('0::/a/../../../etc\n', unified).flatMap(({ parents }) => parents)).toEqual([]);
  });

  test('a limit is written as the version has it, and what is not asked for is not written', () => {
    const of = (version: 1 | 2, limits = LIMITS) =>
      groupFiles({ version, parents: [], controllers: ['memory', 'cpu', 'pids'] }, limits).map(
        ({ name, text }) => `${name}=${text}`,
      );
    expect(of(2)).toEqual([
      'memory.max=67108864',
      'memory.swap.max=0',
      'cpu.max=50000 100000',
      'pids.max=40',
    ]);
    expect(of(1)).toEqual([
      'memory.limit_in_bytes=67108864',
      'memory.memsw.limit_in_bytes=67108864',
      'cpu.cfs_quota_us=50000',
      'pids.max=40',
    ]);
    expect(
      groupFiles(
        { version: 2, parents: [], controllers: ['memory', 'cpu', 'pids'] },
        { memoryBytes: null, cpus: null, pids: null },
      ),
    ).toEqual([]);
    expect(rlimitArgs(LIMITS)).toEqual(['--data=67108864:67108864', '--nproc=40:40']);
  });

  test('one sentence says what holds, and what does not', () => {
    expect(limitsText(LIMITS, new Set(['memory', 'cpu', 'pids'] as const), true)).toBe(
      'memory 64 MiB by a control group; processors 0.5 by a control group; processes 40 by a control group',
    );
    expect(limitsText(LIMITS, new Set(), false)).toBe(
      'memory 64 MiB for each process, by RLIMIT_DATA; processors 0.5 NOT held; processes 40 by RLIMIT_NPROC (no control group with these controllers is ours to make)',
    );
    expect(limitsText(LIMITS, new Set(), true)).toContain('processes 40 NOT held');
  });
});

const folders: string[] = [];
afterAll(async () => {
  await Promise.all(folders.map(removeTree));
});

async function open(resources: Partial<VMConfig['resources']>): Promise<Machine> {
  const stateDir = mkdtempSync(join(tmpdir(), 'sallyport-machine-'));
  folders.push(stateDir);
  const machine = await processBackend.create({
    ...{ id: 'test', stateDir, homeDir: stateDir, image: '', persist: false, privileged: false },
    resources: { cpus: 0, memoryMb: 0, diskSizeMb: 5120, timeoutSeconds: 60, ...resources },
    ...{ vfs: {}, extraDisks: [], env: new Map(), door: null, hostname: 'machine', addHosts: [] },
    ...{ searchDomains: [], portForwards: [], hide: [] },
  });
  await machine.start();
  return machine;
}

const held = (machine: Machine, what: RegExp): boolean =>
  what.test(machine.limits) && !/processes \d+ NOT/.test(machine.limits);

describe('a sandbox of processes', () => {
  test('that forks without end is stopped at its number, and its neighbours and it itself go on', async () => {
    await using bomb = await open({ pids: 60 });
    await using neighbour = await open({});
    if (!held(bomb, /processes 60 by/)) return expect(bomb.limits).toContain('NOT held');
    const forked = await bomb.exec(
      'n=0; while [ $n -lt 200 ]; do sleep 300 </dev/null >/dev/null 2>&1 & n=$((n+1)); done; echo all',
    );
    expect(forked.stdout).toBe('');
    expect(forked.stderr).toMatch(/Cannot fork|Resource temporarily unavailable/i);
    const many = 'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1 & done; wait; echo fine';
    expect((await neighbour.exec(many)).stdout).toBe('fine\n');
    await bomb.stop();
    expect((await neighbour.exec(many)).stdout).toBe('fine\n');
  });

  test('that takes memory without end is ended or refused it, and its neighbours are not', async () => {
    await using hog = await open({ memoryMb: 64 });
    await using neighbour = await open({ memoryMb: 512 });
    const take = `perl -e '$x = "x" x (200 * 1024 * 1024); print length $x'`;
    const taken = await hog.exec(take);
    expect(taken).toMatchObject({ stdout: '' });
    expect(taken.exitCode).not.toBe(0);
    expect((await hog.exec('echo alive')).stdout).toBe('alive\n');
    expect((await neighbour.exec(take)).stdout).toBe(`${200 * 1024 * 1024}`);
  });

  test('is held to its own processes alone, whatever else its user runs', async () => {
    const others = Array.from({ length: 60 }, () => spawn('sleep', ['60'], { stdio: 'ignore' }));
    try {
      await using machine = await open({ pids: 40 });
      expect((await machine.exec('for i in 1 2 3 4 5; do sleep 0.1 & done; wait; echo fine')).stdout).toBe(
        'fine\n',
      );
    } finally {
      for (const other of others) other.kill('SIGKILL');
    }
  });

  test('whose owner was killed leaves groups that the next look clears away', async () => {
    const machine = await open({ memoryMb: 64 });
    const stateDir = folders.at(-1) ?? '';
    const noted = join(stateDir, 'control-groups');
    const groups = existsSync(noted) ? readFileSync(noted, 'utf8').split('\n') : [];
    // As after a kill: somebody else looks, and the machine's own owner does nothing.
    await processBackend.reap?.(stateDir);
    for (const group of groups) expect(existsSync(group)).toBe(false);
    if (groups.length > 0) expect(await machine.wait()).toMatchObject({ reason: 'ended' });
    await machine.close();
  });

  test('says what holds, and leaves no group behind', async () => {
    const machine = await open({ memoryMb: 64, cpus: 0.5, pids: 50 });
    expect(machine.limits).toMatch(/^memory 64 MiB .*; processors 0\.5 .*; processes 50 /);
    const noted = join(folders.at(-1) ?? '', 'control-groups');
    const groups = existsSync(noted) ? readFileSync(noted, 'utf8').split('\n') : [];
    if (/by a control group/.test(machine.limits)) expect(groups.length).toBeGreaterThan(0);
    for (const group of groups) expect(existsSync(group)).toBe(true);
    await machine.close();
    for (const group of groups) expect(existsSync(group)).toBe(false);
  });
});

test('sallyport run --memory and --pids hold a command of this machine', async () => {
  const work = new Workplace();
  try {
    const take = `perl -e '$x = "x" x (300 * 1024 * 1024); print "taken"'`;
    const { code, stdout } = await work.sallyport([
      'run',
      '--memory',
      '128',
      '--pids',
      '500',
      '--',
      'sh',
      '-c',
      take,
    ]);
    expect(stdout).toBe('');
    expect(code).not.toBe(0);
    const fine = await work.sallyport(['run', '--memory', '1024', '--cpus', '0.9', '--', 'sh', '-c', take]);
    expect(fine).toMatchObject({ code: 0, stdout: 'taken' });
    expect(fine.stderr === '' || fine.stderr.includes('no control group')).toBe(true);
  } finally {
    work.remove();
  }
});

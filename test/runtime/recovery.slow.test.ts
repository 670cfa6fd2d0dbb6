/** What is left when processes are killed: nothing, after the next start. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Runtime } from '../../src/runtime/runtime.js';
import type { Sandbox } from '../../src/runtime/sandbox.js';
import { removeTree } from '../../src/vm/process/root.js';

const STAND_IN = join(import.meta.dirname ?? __dirname, 'stand-in.mjs');

let homeDir: string;
const programs: ChildProcess[] = [];
const runtimes: Runtime[] = [];
beforeEach(() => {
  homeDir = mkdtempSync(join(tmpdir(), 'sallyport-recovery-'));
});
afterEach(async () => {
  for (const program of programs.splice(0)) program.kill('SIGKILL');
  await Promise.all(runtimes.splice(0).map(runtime => runtime.close()));
  const last = new Runtime({ homeDir });
  for (const { id } of await last.list()) await last.remove(id, { force: true });
  await last.close();
  await removeTree(homeDir);
});

function open(): Runtime {
  const runtime = new Runtime({ homeDir });
  runtimes.push(runtime);
  return runtime;
}

/** A program that has made and started a sandbox, and runs a command in it. */
async function program(name: string, detach = ''): Promise<ChildProcess> {
  const child = spawn(process.execPath, [STAND_IN, homeDir, name, detach], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  programs.push(child);
  await new Promise(resolve => child.stdout?.once('data', resolve));
  return child;
}

async function found(runtime: Runtime, name: string): Promise<Sandbox> {
  const sandbox = await runtime.get(name);
  if (sandbox === null) throw new Error(`no sandbox ${name}`);
  return sandbox;
}

function supervisorOf(id: string): number {
  const text = readFileSync(join(homeDir, 'sandboxes', id, 'sandbox.json'), 'utf8');
  return Number((JSON.parse(text) as { supervisor_pid: number }).supervisor_pid);
}

/** Every process in the PID or network namespaces of the machine, and its supervisor. */
function family(machinePid: number, supervisor: number): readonly number[] {
  const spaces = ['pid', 'net'].map(name => readlinkSync(`/proc/${machinePid}/ns/${name}`));
  const others = readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number);
  const isOurs = (pid: number): boolean => {
    try {
      return ['pid', 'net'].some((name, at) => readlinkSync(`/proc/${pid}/ns/${name}`) === spaces[at]);
    } catch {
      return false; // gone
    }
  };
  return [supervisor, ...others.filter(isOurs)];
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 20));
}

test('a program that is killed takes its sandboxes with it', async () => {
  const child = await program('box');
  const runtime = open();
  const sandbox = await found(runtime, 'box');
  const { pid } = await sandbox.info();
  const processes = family(pid ?? 0, supervisorOf(sandbox.id));
  expect(processes.length).toBeGreaterThan(5);
  child.kill('SIGKILL');
  await until(() => processes.every(one => !existsSync(`/proc/${one}`)));
  expect((await sandbox.info()).state).toBe('stopped');
});

test('a supervisor that is killed leaves no process, and its sandbox is told as failed', async () => {
  const runtime = open();
  const sandbox = await runtime.create('box');
  await sandbox.start();
  const processes = family(sandbox.pid ?? 0, supervisorOf(sandbox.id));
  const run = await sandbox.execStream('sleep 1000');
  const waiting = sandbox.wait();
  process.kill(supervisorOf(sandbox.id), 'SIGKILL');
  expect(await run.exit).toMatchObject({ exitCode: 137 });
  expect(await waiting).toMatchObject({ reason: 'ended', message: 'its supervisor was killed' });
  await until(() => processes.every(one => !existsSync(`/proc/${one}`)));
  expect(await sandbox.info()).toMatchObject({ state: 'failed', message: 'its supervisor was killed' });
  expect(existsSync(join(homeDir, 'sandboxes', sandbox.id, 'control.sock'))).toBe(false);
  await sandbox.start();
  expect((await sandbox.exec('echo again')).stdout).toBe('again\n');
});

test('all killed at once: the next start finds it, clears away what is left, and may start it', async () => {
  const child = await program('box', 'detach');
  const before = open();
  const sandbox = await found(before, 'box');
  const { pid } = await sandbox.info();
  const supervisor = supervisorOf(sandbox.id);
  const processes = family(pid ?? 0, supervisor);
  child.kill('SIGKILL');
  process.kill(supervisor, 'SIGKILL');
  await until(() => processes.every(one => !existsSync(`/proc/${one}`)));
  const next = open();
  expect(await next.list()).toMatchObject([{ name: 'box', state: 'failed', pid: null }]);
  await (await found(next, 'box')).start();
});

test('a detached sandbox outlives its program, and others use it', async () => {
  const child = await program('box', 'detach');
  child.kill('SIGKILL');
  const sandbox = await found(open(), 'box');
  expect((await sandbox.exec('echo still')).stdout).toBe('still\n');
  // What its program ran in it ended with the program.
  await until(() => !existsSync(`/proc/${child.pid}`));
  while ((await sandbox.exec('pgrep -c sleep')).stdout !== '0\n')
    await new Promise(resolve => setTimeout(resolve, 50));
  await sandbox.stop();
});

test('a supervisor that hangs is killed by a stop with force', async () => {
  const runtime = open();
  const sandbox = await runtime.create('box');
  await sandbox.start();
  const supervisor = supervisorOf(sandbox.id);
  process.kill(supervisor, 'SIGSTOP');
  await sandbox.stop({ force: true });
  expect(existsSync(`/proc/${supervisor}`)).toBe(false);
  expect((await sandbox.info()).state).toBe('failed');
});

test('a half-made folder, a half-written file and a stale socket are no sandbox, and are cleared away', async () => {
  const runtime = open();
  const sandbox = await runtime.create('box');
  const folder = join(homeDir, 'sandboxes', sandbox.id);
  writeFileSync(join(folder, 'sandbox.json.new'), '{"version": 1, "id":');
  writeFileSync(join(folder, 'control.sock'), '');
  await sandbox.start();
  await sandbox.stop();
  const { mkdirSync } = await import('node:fs');
  mkdirSync(join(homeDir, 'sandboxes', 'aaaaaaaaaaaa'));
  expect((await open().list()).map(({ name }) => name)).toEqual(['box']);
  expect(readdirSync(join(homeDir, 'sandboxes'))).toEqual([sandbox.id]);
});

test('two programs share a home: each sees, uses and removes what the other made', async () => {
  await program('theirs');
  const runtime = open();
  const ours = await runtime.create('ours');
  await ours.start();
  expect((await runtime.list()).map(({ name, state }) => [name, state])).toEqual([
    ['theirs', 'running'],
    ['ours', 'running'],
  ]);
  const theirs = await found(runtime, 'theirs');
  expect((await theirs.exec('hostname')).stdout).toBe(`${theirs.id}\n`);
  await expect(runtime.create('theirs')).rejects.toMatchObject({ code: 'VM_EXISTS' });
  await runtime.remove('theirs', { force: true });
  expect((await runtime.list()).map(({ name }) => name)).toEqual(['ours']);
});

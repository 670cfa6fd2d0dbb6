/** `sallyport vm`: a sandbox made, started and used by one process after the other. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { readEvents } from '../support/cli.js';
import { peakOf } from '../support/peak.js';
import { facts, Stage } from './stage.js';

const stage = new Stage();
const VALUE = 'the-real-token-0123456789';

afterAll(async () => {
  await stage.place.sallyport(['vm', 'rm', '--force', 'box']);
  await stage.close();
});

const vm = (...args: readonly string[]) =>
  stage.place.sallyport(['vm', ...args], { env: { API_TOKEN: VALUE } });

test('a sandbox of the command line lives from one terminal to the next', async () => {
  const seen: string[] = [];
  await stage.https('api.example.test', (request, response) => {
    seen.push(String(request.headers.authorization));
    response.end('answer\n');
  });
  const created = await vm(
    'create',
    'box',
    ...stage.flags,
    '--secret',
    'API_TOKEN@api.example.test',
    '--env',
    'GREETING=hello',
  );
  expect(created).toMatchObject({ code: 0, stdout: expect.stringMatching(/^[0-9a-f]{12}\n$/) });
  expect(await vm('exec', 'box', '--', 'true')).toMatchObject({
    code: 125,
    stderr: expect.stringContaining('box is created'),
  });
  expect(await vm('start', 'box')).toMatchObject({ code: 0, stderr: '' });
  expect(await vm('start', 'box')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('box is running'),
  });

  const script =
    'echo $GREETING; curl -sS -H "Authorization: Bearer $API_TOKEN" https://api.example.test/; curl -sS https://evil.example.test/; exit 5';
  const ran = await vm('exec', 'box', '--', 'sh', '-c', script);
  expect(ran).toMatchObject({
    code: 5,
    stdout: 'hello\nanswer\n',
    stderr: expect.stringContaining('evil.example.test'),
  });
  expect(seen).toEqual([`Bearer ${VALUE}`]);

  const listed = await vm('ls');
  expect(listed.stdout).toMatch(/^ID +NAME +STATE +BACKEND/);
  expect(listed.stdout).toMatch(/box +running +process/);
  const info = JSON.parse((await vm('info', 'box')).stdout);
  expect(info).toMatchObject({ name: 'box', state: 'running', pid: expect.any(Number) });

  const logs = (await vm('logs', 'box')).stdout;
  const events = readEvents(stage.place.file('logs.jsonl', logs));
  expect(facts(events, 'request.done')).toMatchObject([{ host: 'api.example.test', secrets: ['API_TOKEN'] }]);
  expect(facts(events, 'dns.refused').map(({ host }) => host)).toContain('evil.example.test');
  expect(`${logs}${JSON.stringify(info)}${ran.stdout}`).not.toContain(VALUE);
});

test('files go in and out, and standard input goes to a command', async () => {
  const file = stage.place.file('in.txt', 'content', 0o640);
  expect(await vm('cp', file, 'box:/workspace/')).toMatchObject({ code: 0, stderr: '' });
  expect((await vm('exec', 'box', '--', 'stat', '-c', '%a %s', 'in.txt')).stdout).toBe('640 7\n');
  expect((await vm('cp', 'box:/workspace/in.txt', '-')).stdout).toBe('content');
  const out = join(stage.place.dir, 'out.txt');
  await vm('cp', 'box:/workspace/in.txt', out);
  expect(readFileSync(out, 'utf8')).toBe('content');
  const typed = await stage.place.sallyport(['vm', 'exec', '-i', 'box', '--', 'wc', '-c'], {
    input: 'x'.repeat(200_000),
  });
  expect(typed.stdout.trim()).toBe('200000');
});

test('a file goes out no faster than it is read, and is whole or not there', async () => {
  const most = 256;
  await vm('exec', 'box', '--', 'truncate', '-s', `${most}M`, 'large');
  const child = stage.place.start(['vm', 'cp', 'box:/workspace/large', '-']);
  let [peak, before] = [0, -1];
  // While nobody reads, what it holds grows up to a bound and no further.
  for (; peak === 0 || peak !== before; await delay(1_000)) [before, peak] = [peak, peakOf(child.pid ?? 0)];
  let bytes = 0;
  for await (const chunk of child.stdout) bytes += (chunk as Buffer).length;
  expect(bytes).toBe(most * 2 ** 20);
  expect(peak).toBeLessThan(most);
  const out = stage.place.file('kept', 'old', 0o640);
  expect(await vm('cp', 'box:/workspace/none', out)).toMatchObject({ code: 1 });
  expect(readFileSync(out, 'utf8')).toBe('old');
  const nowhere = await vm('cp', 'box:/workspace/in.txt', join(stage.place.dir, 'no', 'folder'));
  expect(nowhere).toMatchObject({ code: 1, stderr: expect.stringContaining('cannot be written (ENOENT)') });
});

test('logs are shown from near their end, followed to the end of the sandbox, and each by its name', async () => {
  const all = (await vm('logs', 'box')).stdout.split('\n').slice(0, -1);
  expect(all.length).toBeGreaterThan(5);
  const few = await vm('logs', '--tail', '3', 'box');
  expect(few.stdout.split('\n').slice(0, -1)).toEqual(all.slice(-3));
  expect(await vm('logs', '--supervisor', 'box')).toMatchObject({ code: 0, stdout: '' });
  const codes = [
    [['logs', '--console', 'box'], 'has no console'],
    [['logs', '--console', '--supervisor', 'box'], 'ask for one'],
    [['logs', '--tail', '-1', 'box'], 'is not a number of lines'],
  ] as const;
  for (const [args, says] of codes)
    expect(await vm(...args)).toMatchObject({ code: 2, stderr: expect.stringContaining(says) });
});

test('a command has a terminal where it is asked for, and exit codes tell what happened', async () => {
  expect((await vm('exec', '-t', 'box', '--', 'sh', '-c', 'tty && stty size')).stdout).toMatch(
    /pts\/\d+\r\n24 80\r\n/,
  );
  const codes = [
    [['exec', 'box', '--', 'sh', '-c', 'kill -TERM $$'], 143],
    [['exec', '--timeout', '0.3', 'box', '--', 'sleep', '1000'], 124],
    [['exec', 'box', '--', 'no-such-program'], 127],
    [['exec', 'nobox', '--', 'true'], 125],
    [['cp', 'box:/workspace/none', '-'], 1],
    [['cp', 'a', 'b'], 2],
    [['info', 'nobox'], 1],
    [['create', '../x'], 2],
    [['create', 'x', '--backend', 'none'], 2],
    [['create', 'x', '--allow', '*bad'], 2],
    [['create', 'x', '--secret', `A=${VALUE}@h.example`], 2],
    [['rm', 'box'], 1],
  ] as const;
  const got: unknown[] = [];
  for (const [args] of codes) {
    const { code, stderr } = await vm(...args);
    expect(stderr).not.toContain(VALUE);
    got.push([args, code]);
  }
  expect(got).toEqual(codes.map(([args, code]) => [args, code]));
});

test('it is stopped, told so, and removed', async () => {
  const follower = stage.place.start(['vm', 'logs', '--follow', 'box']);
  const followed = text(follower.stdout);
  expect(await vm('stop', 'box')).toMatchObject({ code: 0, stderr: '' });
  expect(await followed).toContain('"type":"vm.ended"');
  expect((await vm('ls', '--json')).stdout).toContain('"state":"stopped"');
  expect(await vm('rm', 'box')).toMatchObject({ code: 0, stderr: '' });
  expect((await vm('ls', '--json')).stdout).toBe('');
});

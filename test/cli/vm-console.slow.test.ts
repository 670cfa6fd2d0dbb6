import { once } from 'node:events';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Workplace } from '../support/cli.js';
import { createMachine, guestHome, removeFolders } from '../vm/qemu/stage.js';

const work = new Workplace();
const vm = (...args: readonly string[]) => work.sallyport(['vm', ...args]);

beforeAll(async () => {
  await (await createMachine()).close();
  mkdirSync(join(work.dir, 'state'), { mode: 0o700 });
  symlinkSync(join(guestHome(), 'guest'), join(work.dir, 'state/guest'));
});

afterAll(async () => {
  await vm('rm', '--force', 'box');
  work.remove();
  removeFolders();
});

test('what a guest writes on its console is shown, followed, and no order to the terminal', async () => {
  await vm('create', 'box', '--backend', 'qemu', '--network', 'disabled', '--memory', '256');
  expect(await vm('start', 'box')).toMatchObject({ code: 0, stderr: '' });
  const said = 'for i in 1 2 3; do printf "line %s \\033]0;title\\007\\n" $i; done >/dev/console';
  await vm('exec', 'box', '--', 'sh', '-c', said);
  const whole = (await vm('logs', '--console', 'box')).stdout;
  expect(whole).toContain('sallyport: init');
  expect(whole).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f]/);
  expect((await vm('logs', '--console', '--tail', '2', 'box')).stdout).toMatch(/^line 2 .*\nline 3 .*\n$/);

  const follower = work.start(['vm', 'logs', '--console', '--follow', '--tail', '0', 'box']);
  let shown = '';
  follower.stdout.on('data', chunk => {
    shown += String(chunk);
  });
  const closed = once(follower, 'close');
  while (!shown.includes('more')) await vm('exec', 'box', '--', 'sh', '-c', 'echo more >/dev/console');
  await vm('stop', 'box');
  expect((await closed)[0]).toBe(0);
  expect(shown).not.toContain('sallyport: init');
});

import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Workplace } from '../support/cli.js';
import { layoutFiles, makeImage, writeFiles } from '../support/image.js';
import { tar } from '../support/tar.js';

let work: Workplace;
beforeEach(() => {
  work = new Workplace();
});
afterEach(() => work.remove());

const ENTRY = { Entrypoint: ['echo', 'entry'], Cmd: ['from', 'image'], Env: ['PATH=/bin'] };

function layout(config: Readonly<Record<string, unknown>> = ENTRY): string {
  const applets = ['sh', 'cat', 'id', 'echo', 'sleep'].map(name => {
    return { name: `bin/${name}`, type: 'symlink', link: 'busybox' } as const;
  });
  const image = makeImage({
    layers: [tar({ name: 'bin/busybox', content: readFileSync('/bin/busybox'), mode: 0o755 }, ...applets)],
    config,
  });
  return writeFiles(join(work.dir, 'layout'), layoutFiles(image));
}

test('sallyport run --image runs the image’s command, or its entry point with what stands after --', async () => {
  const imported = await work.sallyport(['image', 'import', layout(), 'made:1']);
  expect(imported.code).toBe(0);
  expect(await work.sallyport(['run', '--image', 'made:1'])).toMatchObject({
    code: 0,
    stdout: 'entry from image\n',
    stderr: '',
  });
  const given = await work.sallyport(['run', '--image', 'made:1', '--', 'mine'], { events: true });
  expect(given).toMatchObject({ code: 0, stdout: 'entry mine\n' });
  const commands = given.events.filter(({ type }) => type.startsWith('exec.'));
  expect(commands.map(({ exec }) => exec?.command)).toEqual([
    ['echo', 'entry', 'mine'],
    ['echo', 'entry', 'mine'],
  ]);
  expect(readdirSync(join(work.dir, 'state/run'))).toEqual([]);
});

test('sallyport run --image takes a path, standard input, folders and the gateway', async () => {
  work.file('shared', 'of the host\n');
  const folder = join(work.dir, 'root');
  const flags = [
    'run',
    '--image',
    writeFiles(folder, new Map([['bin/busybox', readFileSync('/bin/busybox')]])),
  ];
  const busybox = ['/bin/busybox', 'sh', '-c'];
  chmodSync(join(folder, 'bin/busybox'), 0o755);
  const piped = await work.sallyport(
    [...flags, '--volume', `${work.dir}:x:ro`, '--', ...busybox, 'busybox cat - /workspace/x/shared; exit 7'],
    { input: 'typed\n' },
  );
  expect(piped).toMatchObject({ code: 7, stdout: 'typed\nof the host\n' });
  const refused = await work.sallyport(
    [...flags, '--', ...busybox, 'busybox wget -q -O - http://denied.test/ || echo refused'],
    { events: true },
  );
  expect(refused.stdout).toBe('refused\n');
  expect(refused.events.map(({ type }) => type)).toContain('dns.refused');
});

test.each([
  { args: ['run', '--image', 'none', '--pull', 'never'], says: 'there is no image none here' },
  { args: ['run', '--image', '/nothing/here'], says: '/nothing/here: ENOENT' },
  { args: ['run', '--image', './file', '--', 'x'], says: 'the archive cannot be read' },
])('sallyport $args says $says, and leaves nothing behind', async ({ args, says }) => {
  work.file('file', 'no archive');
  const finished = await work.sallyport(args);
  expect(finished).toMatchObject({ code: 125, stdout: '' });
  expect(finished.stderr).toContain(says);
  const left = join(work.dir, 'state/run');
  expect(existsSync(left) ? readdirSync(left) : []).toEqual([]);
});

test('sallyport run without a command or an image is a usage error', async () => {
  const finished = await work.sallyport(['run', '--quiet']);
  expect(finished).toMatchObject({ code: 125, stdout: '' });
  expect(finished.stderr).toContain("missing required argument 'command'");
});

test('a run that is killed leaves no process, and its folder goes with the next one', async () => {
  const path = layout({ Env: ['PATH=/bin'] });
  const mark = `${1_000_000 + process.pid}`;
  const command = ['sh', '-c', `echo up; sleep ${mark}`];
  const killed = work.start([
    'run',
    '--image',
    path,
    '--network',
    'disabled',
    '--pids',
    '50',
    '--',
    ...command,
  ]);
  const [first] = (await once(killed.stdout, 'data')) as [Buffer];
  expect(String(first)).toBe('up\n');
  killed.kill('SIGKILL');
  await once(killed, 'close');
  const [left = 'none', ...more] = readdirSync(join(work.dir, 'state/run'));
  expect({ left, more }).toEqual({ left: expect.stringMatching(/^run-/), more: [] });
  while ([...processesOf(left), ...processesOf(mark)].length > 0)
    await new Promise(resolve => setTimeout(resolve, 20));
  const next = await work.sallyport(['run', '--image', path, '--network', 'disabled', '--', 'echo', 'next']);
  expect(next).toMatchObject({ code: 0, stdout: 'next\n' });
  expect(readdirSync(join(work.dir, 'state/run'))).toEqual([]);
});

/** Those that have `mark` among their arguments or variables. */
function processesOf(mark: string): readonly string[] {
  const holds = (pid: string, file: string): boolean => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, 'latin1').includes(mark);
    } catch {
      return false; // it ended meanwhile, or is another's
    }
  };
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name));
  return pids.filter(pid => holds(pid, 'cmdline') || holds(pid, 'environ'));
}

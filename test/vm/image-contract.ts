/** What a machine that is made of an image does, by every backend: run by each backend's own test. */
import { readFileSync } from 'node:fs';
import type { Machine, VMConfig } from '../../src/vm/backend.js';
import { composeCommand } from '../../src/vm/guest-command.js';
import { layoutFiles, makeImage, writeFiles } from '../support/image.js';
import { type Spec, tar } from '../support/tar.js';

export interface ImageContract {
  readonly name: string;
  /** A started machine. */
  open(overrides: Partial<VMConfig>): Promise<Machine>;
  /** A folder that is removed at the end. */
  temporary(name: string): string;
  readonly timeoutMs?: number;
}

const APPLETS = ['sh', 'cat', 'id', 'env', 'pwd', 'ls', 'grep', 'readlink', 'echo', 'head', 'hostname'];

/** The members of an image with busybox under its applets' names. */
export function busyboxMembers(applets: readonly string[] = APPLETS): readonly Spec[] {
  return [
    { name: 'bin/busybox', content: readFileSync('/bin/busybox'), mode: 0o755 },
    ...applets.map(name => ({ name: `bin/${name}`, type: 'symlink', link: 'busybox' }) as const),
  ];
}

/** Writes a layout into `folder`, and gives the folder. */
export function writeLayout(
  folder: string,
  members: readonly Spec[],
  config: Readonly<Record<string, unknown>> = {},
): string {
  return writeFiles(folder, layoutFiles(makeImage({ layers: [tar(...members)], config })));
}

const PASSWD = 'root:x:0:0::/root:/bin/sh\napp:x:1001:1002::/srv/app:/bin/sh\n';

export function imageContract({ name, open, temporary, timeoutMs = 60_000 }: ImageContract): void {
  describe(`the contract of images, kept by ${name}`, () => {
    let machine: Machine;
    beforeAll(async () => {
      const members = [
        ...busyboxMembers(),
        { name: 'etc/passwd', content: PASSWD },
        { name: 'data/old', content: 'old\n' },
      ];
      const layout = writeLayout(temporary('layout'), members, {
        User: 'app',
        WorkingDir: '/srv/app',
        Env: ['COLOUR=blue', 'PATH=/bin'],
        Entrypoint: ['/bin/echo', 'entry'],
        Cmd: ['hello'],
      });
      machine = await open({
        ...{ image: '', localBundlePath: layout, homeDir: temporary('home') },
        ...{ env: new Map([['MORE', 'yes']]), hostname: 'called' },
        addHosts: [{ host: 'pinned.test', ip: '192.0.2.7' }],
      });
    }, timeoutMs);
    afterAll(() => machine?.close(), timeoutMs);

    test('the image’s words are told, and compose as Docker does', async () => {
      const { imageConfig } = machine;
      expect(imageConfig).toMatchObject({ user: 'app', workingDir: '/srv/app', cmd: ['hello'] });
      const [program = '', ...args] = composeCommand(imageConfig, ['given']);
      expect((await machine.exec(program, { args })).stdout).toBe('entry given\n');
      expect(composeCommand(imageConfig)).toEqual(['/bin/echo', 'entry', 'hello']);
    });

    test('a command is the image’s user, in its folder, with its variables and the configuration’s', async () => {
      const { stdout } = await machine.exec('id -u; id -g; pwd; echo $COLOUR $MORE $PATH $PWD');
      expect(stdout).toBe('1001\n1002\n/srv/app\nblue yes /bin /srv/app\n');
      expect((await machine.exec('id -u', { user: 'root' })).stdout).toBe('0\n');
      expect((await machine.exec('id -u; id -g', { user: '7:8' })).stdout).toBe('7\n8\n');
      await expect(machine.exec('true', { user: 'nobody-here' })).rejects.toMatchObject({
        code: 'VM_CONFIG_INVALID',
      });
    });

    test('the root is the image’s, with the names that a sandbox has, and may be changed', async () => {
      const { stdout } = await machine.exec(
        'cat /data/old; grep -c pinned /etc/hosts; hostname; cat /etc/hostname; echo changed >/data/old; cat /data/old',
        { user: 'root' },
      );
      expect(stdout).toBe('old\n1\ncalled\ncalled\nchanged\n');
    });

    test('what is not there is told: a command, a folder', async () => {
      await expect(machine.exec('none', { args: [] })).rejects.toMatchObject({ code: 'COMMAND_NOT_FOUND' });
      await expect(machine.exec('true', { workingDir: '/none' })).rejects.toMatchObject({
        code: 'VM_CONFIG_INVALID',
      });
    });

    test('it says what holds it to its share', () => {
      expect(machine.limits).toMatch(/memory/);
      expect(machine.notes).toEqual([]);
    });
  });
}

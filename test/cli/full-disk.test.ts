import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { MAIN, Workplace } from '../support/cli.js';
import { layoutFiles, makeImage, writeFiles } from '../support/image.js';
import { push, startRegistry } from '../support/registry.js';
import { tar } from '../support/tar.js';

const SIZE = '2m';

/** Each line a command, then its exit code; on a disk of two mebibytes in a mount namespace of its own. */
const SCRIPT = `
mount -t tmpfs -o size=${SIZE},mode=0700 none "$SALLYPORT_STATE" || exit 1
sallyport() { "$NODE" "$MAIN" "$@" 2>&1; echo "= $?"; }
sallyport image import "$1/small" small:1
sallyport image import "$1/large" large:1
sallyport image pull --quiet "$2/team/large:1"
sallyport run --vm --network disabled --image "$2/team/large:1" --quiet -- true
sallyport vm create --backend qemu --image "$2/team/large:1" box
echo kept: $(find "$SALLYPORT_STATE/images" -size +4k | wc -l)
sallyport image ls --json
sallyport image import "$1/other" other:1
`;

test('a disk that fills up while an image comes is told, keeps nothing of it, and loses no other image', async () => {
  const work = new Workplace();
  const image = (bytes: number) => makeImage({ layers: [tar({ name: 'f', content: randomBytes(bytes) })] });
  const large = image(4_000_000);
  const registry = await startRegistry(work.dir);
  try {
    await push(registry.host, 'team/large', large, '1');
    writeFiles(join(work.dir, 'small'), layoutFiles(image(10)));
    writeFiles(join(work.dir, 'other'), layoutFiles(image(20)));
    writeFiles(join(work.dir, 'large'), layoutFiles(large));
    const state = join(work.dir, 'state');
    mkdirSync(state);
    const env = {
      PATH: process.env.PATH,
      HOME: work.dir,
      SALLYPORT_STATE: state,
      NODE: process.execPath,
      MAIN,
    };
    const args = ['--user', '--map-root-user', '--mount', 'sh', '-c', SCRIPT, 'sh', work.dir, registry.host];
    const said = await new Promise<string>((resolve, reject) =>
      execFile('unshare', args, { env }, (error, stdout, stderr) =>
        error === null ? resolve(stdout) : reject(new Error(stderr)),
      ),
    );
    const full = `sallyport: the disk of ${state}/images is full: make room there, or remove images (\`sallyport image rm\`, \`image prune\`); nothing of the new one was kept`;
    const lines = said.trim().split('\n');
    expect(lines.filter(line => line.startsWith('= '))).toEqual(
      [0, 1, 1, 125, 1, 0, 0].map(code => `= ${code}`),
    );
    expect(lines.filter(line => line === full)).toHaveLength(4);
    expect(lines).toContain('kept: 0');
    expect(lines.filter(line => line.startsWith('{')).map(line => JSON.parse(line).name)).toEqual([
      'small:1',
    ]);
    expect(said).not.toContain('at async');
  } finally {
    await registry.stop();
    work.remove();
  }
});

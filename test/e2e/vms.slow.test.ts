/** Ten machines at once, each with a secret of its own. */
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { ensureDefaultImage, ensureGuestFiles } from '../../src/vm/qemu/index.js';
import { guestHome } from '../vm/qemu/stage.js';
import { Stage } from './stage.js';

const stage = new Stage();
const COUNT = 10;
const NAME = 'api.example.test';
const seen = new Map<string, string>();

beforeAll(async () => {
  const home = guestHome();
  await ensureGuestFiles(home);
  await ensureDefaultImage(home);
  const state = join(stage.place.dir, 'state');
  mkdirSync(state);
  symlinkSync(join(home, 'guest'), join(state, 'guest'));
  await stage.https(NAME, (request, response) => {
    seen.set(request.url ?? '', request.headers.authorization ?? '');
    response.end('ok\n');
  });
});
afterAll(() => stage.close());

test('ten machines have ten secrets, and none the secret, the address or the placeholder of another', async () => {
  const runs = await Promise.all(
    Array.from({ length: COUNT }, async (_, number) => {
      const { code, stdout } = await stage.sh(
        `curl -sS --max-time 60 -H "Authorization: $TOKEN" https://${NAME}/${number}; echo "$TOKEN"; ip -o link | grep -c eth`,
        {
          flags: ['--vm', '--accel', 'tcg', '--memory', '192', '--quiet', '--secret', `TOKEN@${NAME}`],
          env: { TOKEN: `value-of-machine-number-${number}` },
        },
      );
      return { code, lines: stdout.split('\n') };
    }),
  );
  expect(runs.map(({ code }) => code)).toEqual(Array.from({ length: COUNT }, () => 0));
  expect(runs.map(({ lines }) => [lines[0], lines[2]])).toEqual(
    Array.from({ length: COUNT }, () => ['ok', '1']),
  );
  expect(new Set(runs.map(({ lines }) => lines[1])).size).toBe(COUNT);
  for (let number = 0; number < COUNT; number += 1) {
    expect(seen.get(`/${number}`)).toBe(`value-of-machine-number-${number}`);
  }
});

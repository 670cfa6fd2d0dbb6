/** Every example runs, without the internet, and shows what its first line says. */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MAIN, Workplace } from './support/cli.js';

const FOLDER = join(__dirname, '..', 'examples');

/** What each prints, standard error included. */
const SHOWS: ReadonlyMap<string, readonly RegExp[]> = new Map([
  [
    'first-request.sh',
    [/^GET \/hello at api\.example\.test/m, /refused to look up evil\.example\.test/, /exit code 6/],
  ],
  [
    'secret.sh',
    [
      /in the sandbox: GWPH_/,
      /upstream: I was sent authorization: Bearer the-real-token-0123456789/,
      /at api\.example\.test, authorization: Bearer GWPH_/,
      /ErrSecretLeak/,
    ],
  ],
  [
    'policy-file.sh',
    [/3 examples passed/, /refused: https:[^\n]*\n/, /^GET \/v1\/items/m, /"method-not-allowed"/],
  ],
  ['secret-file.sh', [/I was sent authorization: Basic Ym90OnZhbHVlLWZyb20tYS1maWxlLTAxMjM0NTY3ODk=/]],
  [
    'event-log.sh',
    [/request\.done allow api\.example\.test -/, /dns\.refused deny evil\.example\.test no-rule/],
  ],
  [
    'record-shadow-enforce.sh',
    [
      /\{ domain: api\.example\.test, port: 443, methods: \[GET\], paths: \["\/v1\/items\/\*"\] \}/,
      /3 examples passed/,
      /0 newly allowed, 0 newly denied/,
      /request\.done +shadow .*DELETE .*\(method-not-allowed by allow_domain\[0\]\)/,
      /refused DELETE https:\/\/api\.example\.test\/v1\/items\/17 \(method-not-allowed\)/,
      /^api\.example\.test +6 +1 +0 /m,
    ],
  ],
  [
    'sandbox.mjs',
    [/^hello from the sandbox - exit code 2$/m, /dns\.refused evil\.example\.test/, /true VM_NOT_RUNNING/],
  ],
  ['library.mjs', [/hello from outside/, /dns\.refused evil\.example\.test/, /exit code 6/]],
]);

const place = new Workplace();
afterAll(() => place.remove());

const examples = readdirSync(FOLDER).filter(
  name => /\.(sh|mjs)$/.test(name) && !name.startsWith('upstream.'),
);

test('every example is known here', () => {
  expect(examples.sort()).toEqual([...SHOWS.keys()].sort());
});

test.each(examples)('%s shows what it says', async name => {
  const child = spawn(name.endsWith('.mjs') ? process.execPath : 'sh', [join(FOLDER, name)], {
    cwd: dirname(FOLDER),
    env: {
      PATH: process.env.PATH,
      HOME: place.dir,
      SALLYPORT: `'${process.execPath}' '${MAIN}'`.replaceAll("'", ''),
      SALLYPORT_STATE: join(place.dir, 'state'),
      TMPDIR: place.dir,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', chunk => {
      output += chunk;
    });
  }
  await new Promise(resolve => child.once('close', resolve));
  for (const expected of SHOWS.get(name) ?? []) expect(output).toMatch(expected);
});

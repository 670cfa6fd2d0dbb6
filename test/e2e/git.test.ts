/** Real git over HTTPS: a clone, and a push whose Basic credentials hold a placeholder. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import type http from 'node:http';
import { join } from 'node:path';
import { expectInvariants, facts, Stage } from './stage.js';

const NAME = 'git.example.test';
const TOKEN = 'ghp_real-push-token-0123456789';
const stage = new Stage();
const repositories = join(stage.place.dir, 'srv');
const credentials: (string | null)[] = [];

function git(cwd: string, ...args: readonly string[]): string {
  const identity = [
    '-c',
    'user.name=Test',
    '-c',
    'user.email=test@example.test',
    '-c',
    'init.defaultBranch=main',
  ];
  const { status, stdout, stderr } = spawnSync('git', [...identity, ...args], {
    cwd,
    env: { PATH: process.env.PATH, HOME: stage.place.dir },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

/** git's own CGI (git-http-backend), behind Node. */
function backend(request: http.IncomingMessage, response: http.ServerResponse): void {
  const url = new URL(request.url ?? '/', `https://${NAME}`);
  const basic = /^Basic (.*)$/.exec(request.headers.authorization ?? '')?.[1];
  credentials.push(basic === undefined ? null : Buffer.from(basic, 'base64').toString());
  if (url.pathname.includes('receive-pack') || url.search.includes('receive-pack')) {
    if (credentials.at(-1) !== `bot:${TOKEN}`) {
      response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="git"' }).end();
      return;
    }
  }
  const cgi = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: repositories,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      HTTP_GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      REMOTE_USER: basic === undefined ? '' : 'bot',
      HOME: stage.place.dir,
    },
  });
  cgi.stdin.on('error', () => undefined); // It reads what it needs.
  request.pipe(cgi.stdin);
  relayCgi(cgi.stdout, response);
}

function relayCgi(output: NodeJS.ReadableStream, response: http.ServerResponse): void {
  let head = Buffer.alloc(0);
  output.on('data', (chunk: Buffer) => {
    if (response.headersSent) return void response.write(chunk);
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    const fields = head
      .toString('latin1', 0, end)
      .split('\r\n')
      .map(line => line.split(': '));
    const status = Number(fields.find(([name]) => name === 'Status')?.[1]?.slice(0, 3) ?? 200);
    for (const [name = '', value = ''] of fields) if (name !== 'Status') response.setHeader(name, value);
    response.writeHead(status).write(head.subarray(end + 4));
  });
  output.on('end', () => response.end());
}

beforeAll(async () => {
  mkdirSync(repositories);
  const seed = join(stage.place.dir, 'seed');
  mkdirSync(seed);
  git(seed, 'init', '-q');
  for (let i = 0; i < 3; i++) git(seed, 'commit', '-q', '--allow-empty', '-m', `commit ${i}`);
  spawnSync('sh', ['-c', 'head -c 3000000 /dev/urandom > big.bin'], { cwd: seed });
  git(seed, 'add', '.');
  git(seed, 'commit', '-q', '-m', 'a large file');
  git(repositories, 'clone', '-q', '--bare', seed, 'project.git');
  await stage.https(NAME, backend);
  stage.env.TOKEN = TOKEN;
  stage.flags.push('--secret', `TOKEN@${NAME}`);
});
afterAll(() => stage.close());

test('git clone, commit and push go through, and the server sees the real credentials', async () => {
  const { code, stdout, stderr, events } = await stage.sh(
    `set -e; cd /tmp
git clone -q https://${NAME}/project.git; cd project; git log --oneline | wc -l; git hash-object big.bin
git config user.name Bot; git config user.email bot@example.test
head -c 2500000 /dev/urandom > more.bin; git add .; git commit -qm 'from the sandbox'
git push -q https://bot:$TOKEN@${NAME}/project.git HEAD:main; git rev-parse HEAD`,
  );
  expect(stderr).not.toMatch(/fatal|error/);
  expect(code).toBe(0);
  const [commits, blob, head] = stdout.split('\n');
  expect(commits?.trim()).toBe('4');
  expect(blob).toBe(git(join(repositories, 'project.git'), 'rev-parse', 'main~:big.bin'));
  expect(head).toBe(git(join(repositories, 'project.git'), 'rev-parse', 'main'));
  expect(credentials).toContain(`bot:${TOKEN}`);
  expect(JSON.stringify(events)).not.toContain(TOKEN);
  expect(facts(events, 'request.done').some(({ secrets }) => secrets.includes('TOKEN'))).toBe(true);
  expectInvariants(events);
});

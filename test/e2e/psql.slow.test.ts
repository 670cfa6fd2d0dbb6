/** A real PostgreSQL by its name: a protocol of its own, with TLS inside it that nobody here reads. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, mkdirSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expectInvariants, facts, Stage } from './stage.js';

const NAME = 'db.example.test';
const stage = new Stage();
const data = join(stage.place.dir, 'pg');
/** PostgreSQL refuses to run as root. */
const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
const [version = ''] = readdirSync('/usr/lib/postgresql').sort().reverse();
const bin = (name: string): string => join('/usr/lib/postgresql', version, 'bin', name);
let server: ChildProcess;
let port: number;

beforeAll(async () => {
  mkdirSync(data, { mode: 0o700 });
  if (user.uid !== undefined) {
    chownSync(data, user.uid, user.gid);
    execFileSync('chmod', ['711', stage.place.dir]);
  }
  const options = { ...user, env: { PATH: process.env.PATH, LANG: 'C.UTF-8' }, cwd: '/' };
  execFileSync(bin('initdb'), ['-D', data, '-A', 'trust', '-U', 'app', '--no-sync'], options);
  port = await freePort();
  server = spawn(bin('postgres'), ['-D', data, '-k', data, '-p', `${port}`, '-h', '127.0.0.1', '-F'], {
    ...options,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await new Promise<void>((resolve, reject) => {
    server.once('exit', () => reject(new Error('PostgreSQL ended')));
    server.stderr?.on('data', chunk => String(chunk).includes('ready to accept connections') && resolve());
  });
}, 60_000);
afterAll(async () => {
  const ended = new Promise(resolve => server.once('exit', resolve));
  server.kill('SIGINT');
  await ended;
  await stage.close();
});

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>(resolve => probe.listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise(resolve => probe.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

test('psql connects by name and moves rows both ways', async () => {
  const { code, stdout, stderr, events } = await stage.sh(
    `psql -X -q -At -h ${NAME} -U app postgres -c 'create table t as select generate_series(1, 200000) n' -c 'select sum(n) from t'
seq 1 50000 | psql -X -q -h ${NAME} -U app postgres -c 'copy t from stdin'
psql -X -q -At -h ${NAME} -U app postgres -c 'select count(*) from t'`,
    { flags: ['--add-host', `${NAME}=127.0.0.1:${port}`, '--allow', `${NAME}:5432`] },
  );
  expect(stderr).not.toMatch(/error|refused to/i);
  expect(stdout).toBe('20000100000\n250000\n');
  expect(code).toBe(0);
  expect(facts(events, 'flow.closed')).toMatchObject(
    [1, 2, 3].map(() => ({ host: NAME, port: 5432, protocol: 'tcp', destination: `127.0.0.1:${port}` })),
  );
  expectInvariants(events);
}, 60_000);

/** The library's sandbox: several commands behind one door, and nothing of them after its end. */
import { existsSync } from 'node:fs';
import { createGateway, type Gateway, type Sandbox } from '../../src/gateway.js';
import { parsePolicy } from '../../src/policy/document.js';
import { Ca } from '../../src/proxy/tls/ca.js';
import { Workplace } from '../support/cli.js';

const place = new Workplace();
let gateway: Gateway;
let sandbox: Sandbox;

beforeAll(async () => {
  const policy = parsePolicy('dns: { search_domains: [corp.example.test] }', 'test');
  if (!policy.ok) throw new Error(JSON.stringify(policy.error));
  gateway = await createGateway({ layers: [policy.value], ca: Ca.ephemeral(), env: {} });
  sandbox = await gateway.openSandbox('one');
});
afterAll(async () => {
  await gateway.close();
  place.remove();
});

const run = (script: string) =>
  sandbox.run({
    argv: ['sh', '-c', script],
    env: { PATH: process.env.PATH, HOME: place.dir },
    workdir: place.dir,
    binds: [],
    noFsIsolation: false,
    hide: [],
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
  });

test('the search domains of the policy stand in the resolver configuration', async () => {
  const command = await run('cat /etc/resolv.conf');
  let text = '';
  command.stdout?.setEncoding('utf8').on('data', chunk => {
    text += chunk;
  });
  expect(await command.exit).toMatchObject({ code: 0 });
  expect(text).toMatch(/^nameserver \S+\nsearch corp\.example\.test\n$/);
});

test('closing a sandbox ends the commands that still run in it', async () => {
  const command = await run('echo started; sleep 1000');
  command.stdout?.resume();
  expect(existsSync(`/proc/${command.pid}`)).toBe(true);
  await sandbox.close();
  expect((await command.exit).code).toBe(137);
  expect(existsSync(`/proc/${command.pid}`)).toBe(false);
});

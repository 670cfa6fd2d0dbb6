// The library: a gateway with a policy, a sandbox of it, one command, and every event as it happens.
// In a checkout: `npm run build`, then `node examples/library.mjs`.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { Ca, createGateway, parsePolicy } from 'sallyport';

const server = createServer((_request, response) => response.end('hello from outside\n'));
await once(server.listen(0, '127.0.0.1'), 'listening');

const policy = parsePolicy(
  `allow_domain: [site.example.test]
add_hosts: { site.example.test: "127.0.0.1:${server.address().port}" }`,
  'library.mjs',
);
if (!policy.ok) throw new Error(JSON.stringify(policy.error));

const gateway = await createGateway({ layers: [policy.value], ca: Ca.ephemeral() });
const told = (async () => {
  for await (const { seq, type, network } of gateway.events()) console.log(seq, type, network?.host ?? '');
})();
const sandbox = await gateway.openSandbox('example');
const command = await sandbox.run({
  argv: ['curl', '-sS', 'http://site.example.test/', 'http://evil.example.test/'],
  env: { PATH: process.env.PATH },
  workdir: process.cwd(),
  binds: [],
  noFsIsolation: false,
  hide: [],
  stdin: 'ignore',
  stdout: 'inherit',
  stderr: 'inherit',
});
const { code } = await command.exit;
console.log('exit code', code);
await gateway.close();
await told;
server.close();

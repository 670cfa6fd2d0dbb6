// A sandbox's life: made, started, used, watched, stopped and removed. In a checkout: `npm run build`, then this.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ErrVMNotRunning, Runtime } from 'sallyport';

const homeDir = await mkdtemp(join(tmpdir(), 'sallyport-example-'));
const runtime = new Runtime({ homeDir });
const sandbox = await runtime.create('example', { env: { GREETING: 'hello' } });
await sandbox.start();

await sandbox.writeFile('/workspace/who.txt', 'from the sandbox\n');
const { stdout, exitCode } = await sandbox.exec(
  'echo $GREETING $(cat who.txt); getent hosts evil.example.test',
);
console.log(stdout.trim(), '- exit code', exitCode);
for await (const { type, network } of sandbox.events({ after: 0 })) {
  if (type === 'dns.refused') console.log(type, network.host);
  if (type === 'exec.done') break;
}

await sandbox.stop();
await sandbox.exec('true').catch(error => console.log(error instanceof ErrVMNotRunning, error.code));
await runtime.remove('example');
await runtime.close();
await rm(homeDir, { recursive: true });

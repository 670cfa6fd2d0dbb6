// A program that uses the library and is killed: HOME, then what to do. Prints `up` and waits.
import { Runtime } from '../../dist/runtime/runtime.js';

const [homeDir, name, detach] = process.argv.slice(2);
const runtime = new Runtime({ homeDir });
const sandbox = await runtime.create(name, { detach: detach === 'detach' });
await sandbox.start();
const run = await sandbox.execStream('sleep 1000');
void run.exit;
console.log('up');
setInterval(() => {}, 1000);

// A stand-in for the gateway, to be killed or sent signals: one door, one command, the build of the sources.
//   node stand-in.mjs WORKDIR CMD [ARG…]
import { dirname } from 'node:path';
import { ANY_PORT, openVestibule } from '../../dist/net/vestibule/index.js';
import { startCommand } from '../../dist/vm/index.js';

const [workdir, ...argv] = process.argv.slice(2);
const door = await openVestibule({
  sandbox: 'stand-in',
  allowedPorts: ANY_PORT,
  nameOf: () => null,
  onFlow: flow => flow.refuse(),
  onDnsTcp: flow => flow.refuse(),
  onDnsUdp: () => {},
});
const command = await startCommand(door.cell, {
  argv,
  env: new Map([
    ['PATH', `${dirname(process.execPath)}:/usr/bin:/bin`],
    ['TERM', 'dumb'],
  ]),
  workdir,
  binds: [],
  noFsIsolation: false,
  hide: [],
  files: [],
  stdin: 'inherit',
  stdout: 'inherit',
  stderr: 'inherit',
});
// On a terminal the foreground group has it already.
process.on('SIGINT', () => process.stdin.isTTY || command.kill('SIGINT'));
process.on('SIGQUIT', () => process.stdin.isTTY || command.kill('SIGQUIT'));
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => command.kill(signal));
const { code } = await command.exit;
await door.close();
process.exitCode = code;

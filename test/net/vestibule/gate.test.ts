import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { nsenterArgs, type Vestibule } from '../../../src/net/vestibule/index.js';
import { findProgram, findTools } from '../../../src/net/vestibule/tools.js';
import { openDoor } from '../../vm/door.js';

/**
 * The gate on its own: the cell's rules are flushed, as a guest that is root in its cell would have none. What runs
 * here has every capability over the cell, and none over the gate.
 */
const targets: string[] = [];
let door: Vestibule;
const run = promisify(execFile);

async function asCellRoot(...command: readonly string[]): Promise<string> {
  const { pid, userNamespace, tools } = door.cell;
  const { stdout } = await run(tools.nsenter, [...nsenterArgs(pid, userNamespace), ...command]);
  return stdout;
}

/** The gate's own process started the cell's. */
function gatePid(): number {
  return Number(/PPid:\t(\d+)/.exec(readFileSync(`/proc/${door.cell.pid}/status`, 'utf8'))?.[1]);
}

const node = (script: string): Promise<string> => asCellRoot(process.execPath, '-e', script);

beforeAll(async () => {
  door = await openDoor({
    allowedPorts: [{ from: 443, to: 443 }],
    onFlow: flow => {
      targets.push(`${flow.source.address.text} ${flow.target.address.text} ${flow.target.port}`);
      flow.refuse();
    },
  });
  await asCellRoot(findProgram('nft') ?? '', 'flush', 'ruleset');
});

afterAll(() => door.close());

const CONNECT = `const net = require('node:net'); const connect = (port, localAddress) => new Promise(resolve => {
  const socket = net.connect({ host: '93.184.216.34', port, localAddress, timeout: 400 });
  socket.on('error', error => resolve(error.code)).on('timeout', () => resolve('silence'));
  socket.on('close', () => resolve('closed')); });`;

test('neither end of the link paces what it sends, whatever the host does', async () => {
  const { pid, userNamespace, tools } = door.cell;
  for (const end of [pid, gatePid()]) {
    const file = '/proc/sys/net/ipv4/tcp_congestion_control';
    const { stdout } = await run(tools.nsenter, [...nsenterArgs(end, userNamespace), 'cat', file]);
    expect(stdout).toBe('reno\n');
  }
});

test('the gate refuses a closed port by itself', async () => {
  expect(await node(`${CONNECT} connect(22).then(console.log)`)).toBe('ECONNREFUSED\n');
});

test('the gate refuses a datagram that is not for DNS by itself, with an answer', async () => {
  const answer = await node(`const socket = require('node:dgram').createSocket('udp4');
    socket.on('error', error => { console.log(error.code); socket.close(); });
    socket.connect(443, '93.184.216.34', () => socket.send('x'));`);
  expect(answer).toMatch(/^E(HOSTUNREACH|ACCES|CONNREFUSED)\n$/);
});

test('the gate does not believe an address that is not the cell’s', async () => {
  await asCellRoot(findTools().ip, 'addr', 'add', '203.0.113.66/32', 'dev', 'eth0');
  const answer = await node(`${CONNECT} connect(443).then(own => connect(443, '203.0.113.66').then(other =>
    { console.log(own, other); process.exit(); }))`);
  expect(answer).toMatch(/silence\n$/);
  expect(targets).toEqual(['198.19.255.254 93.184.216.34 443']);
});

test('the gate’s rules cannot be reached by root of the cell', async () => {
  const listing = await asCellRoot(findProgram('nft') ?? '', 'list', 'ruleset');
  expect(listing).toBe('');
});

test('the sandbox cannot get past the door when its processes are gone: the door says that it closed', async () => {
  process.kill(door.cell.pid, 'SIGKILL');
  await door.closed;
});

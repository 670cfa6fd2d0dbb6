/**
 * The gateway as its users run it: the built command line, the load inside the sandbox. One process serves two columns:
 * through the vestibule (the load dials names and knows of no proxy) and through the explicit proxy.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Agent, start, stop } from '../child.js';
import type { Route } from '../load/command.js';
import { pinned } from '../machine.js';
import type { Peer, Running, Setting } from './peer.js';
import { literalsOf, policyOf } from './setup.js';

/** The sandbox's own proxy (`src/gateway.ts`). */
const PROXY = { address: '198.19.255.253', port: 3128 };

/** Policy, secrets, a placeholder in each request, the event log. */
export const sallyport: Peer = {
  name: 'sallyport',
  columns: ['sallyport', 'sallyport proxy'],
  missing: () => null,
  start: setting => startGateway(setting, 'sallyport', true),
};

/** The same gateway with nothing to decide, to swap or to write down. */
export const sallyportOff: Peer = {
  name: 'sallyport-off',
  columns: ['sallyport all off'],
  missing: () => null,
  start: setting => startGateway(setting, 'sallyport-off', false),
};

async function startGateway(setting: Setting, name: string, all: boolean): Promise<Running> {
  const { shop, root, measured, others } = setting;
  const home = join(shop.dir, name);
  rmSync(home, { recursive: true, force: true });
  mkdirSync(home, { recursive: true });
  const policy = join(home, 'policy.json.yaml');
  // JSON is YAML.
  writeFileSync(policy, JSON.stringify(policyOf({ port: setting.port, all })));
  const env = { SALLYPORT_STATE: join(home, 'state'), ...Object.fromEntries(literalsOf()) };
  const agent = [process.execPath, join(root, '.cache/tools/bench/load/agent.js')];
  const profile =
    (process.env.BENCH_PROFILE ?? '') === name
      ? ['--cpu-prof', `--cpu-prof-dir=${join(home, 'profile')}`]
      : [];
  const flags = (process.env.BENCH_NODE_FLAGS ?? '').split(' ').filter(flag => flag !== '');
  const argv = [
    process.execPath,
    ...profile,
    ...flags,
    join(root, 'dist/cli/main.js'),
    'run',
    '--policy',
    policy,
    '--upstream-ca',
    shop.upstreamCa,
    ...(all ? ['--event-log', join(home, 'events.jsonl')] : ['--quiet']),
    '--workdir',
    root,
    '--',
    ...pinned(others, agent),
  ];
  const child = start(pinned(measured, argv), join(shop.dir, `${name}.log`), env);
  const inside = new Agent(child);
  await inside.next();
  return {
    agent: inside,
    routes: routesOf(all),
    pids: () => [child.pid ?? 0],
    // The end of its input ends the load, and with it the sandbox and the gateway.
    stop: async () => {
      child.stdin?.end();
      await Promise.race([
        new Promise(resolve => child.once('exit', resolve)),
        new Promise(resolve => setTimeout(resolve, 5_000)),
      ]);
      await stop(child);
    },
    h2: true,
  };
}

function routesOf(all: boolean): ReadonlyMap<string, Route> {
  const ports = { filesPort: 443, sinkPort: 443, ca: '$NODE_EXTRA_CA_CERTS' };
  const inside: Route = { via: 'resolve', address: '', port: 0, ...ports };
  if (!all) return new Map([['sallyport all off', inside]]);
  return new Map([
    ['sallyport', inside],
    ['sallyport proxy', { via: 'connect', ...PROXY, ...ports }],
  ]);
}

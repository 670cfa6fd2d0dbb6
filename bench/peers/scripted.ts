/**
 * The peers that are libraries: mitmproxy by its options, the two of npm by a script, each told where the upstream is.
 * And the floor, a relay that is no gateway.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { listening, start, stop } from '../child.js';
import { familyOf, pinned } from '../machine.js';
import { FILES_PORT, type Peer, type Running, type Setting, SINK_PORT } from './peer.js';

/** What `install.sh` puts there. */
const INSTALLED = '.cache/bench';

interface Recipe {
  readonly name: string;
  readonly offset: number;
  /** Relative to the installed folder: there if it is installed. */
  readonly proof: string;
  argv(setting: Setting, home: string, port: number): readonly string[];
  /** PEM of what signs its certificates. */
  ca(setting: Setting, home: string): string;
  readonly connectTo?: string;
}

const RECIPES: readonly Recipe[] = [
  {
    name: 'floor',
    offset: 60,
    proof: '',
    argv: ({ root, shop, port: first }, _, port) => [
      process.execPath,
      join(root, 'bench/peers/floor.mjs'),
      `${port}`,
      shop.floorCert,
      shop.floorKey,
      shop.upstreamCa,
      `${first + FILES_PORT}`,
      `${first + SINK_PORT}`,
    ],
    ca: ({ shop }) => shop.peerCa,
  },
  {
    name: 'mitmproxy',
    offset: 30,
    proof: 'mitmproxy/bin/mitmdump',
    argv: ({ root, shop }, home, port) => {
      const options = [
        `ssl_verify_upstream_trusted_ca=${shop.upstreamCa}`,
        'connection_strategy=lazy',
        'stream_large_bodies=1m',
        'flow_detail=0',
      ];
      const mitmdump = join(root, INSTALLED, 'mitmproxy/bin/mitmdump');
      const set = options.flatMap(option => ['--set', option]);
      return [
        mitmdump,
        '--quiet',
        '--listen-host',
        '127.0.0.1',
        '--listen-port',
        `${port}`,
        '--set',
        `confdir=${home}`,
        ...set,
      ];
    },
    ca: (_, home) => join(home, 'mitmproxy-ca-cert.pem'),
    connectTo: '127.0.0.1',
  },
  {
    name: 'mockttp',
    offset: 40,
    proof: 'npm/node_modules/mockttp/package.json',
    argv: ({ root, shop }, _, port) => [
      process.execPath,
      join(root, 'bench/peers/mockttp.mjs'),
      join(root, INSTALLED, 'npm'),
      `${port}`,
      shop.peerCa,
      shop.peerKey,
      shop.upstreamCa,
    ],
    ca: ({ shop }) => shop.peerCa,
  },
  {
    name: 'http-mitm-proxy',
    offset: 50,
    proof: 'npm/node_modules/http-mitm-proxy/package.json',
    argv: ({ root, shop }, home, port) => [
      process.execPath,
      join(root, 'bench/peers/http-mitm-proxy.mjs'),
      join(root, INSTALLED, 'npm'),
      `${port}`,
      home,
      shop.upstreamCa,
    ],
    ca: (_, home) => join(home, 'certs/ca.pem'),
  },
];

export const scripted: readonly Peer[] = RECIPES.map(recipe => ({
  name: recipe.name,
  columns: [recipe.name],
  slow: recipe.name !== 'floor',
  missing: root => (existsSync(join(root, INSTALLED, recipe.proof)) ? null : 'not installed'),
  start: setting => startScripted(recipe, setting),
}));

async function startScripted(recipe: Recipe, setting: Setting): Promise<Running> {
  const { shop, hostAgent, measured, port } = setting;
  const home = join(shop.dir, recipe.name);
  rmSync(home, { recursive: true, force: true });
  mkdirSync(home, { recursive: true });
  const own = port + recipe.offset;
  const child = start(
    pinned(measured, recipe.argv(setting, home, own)),
    join(shop.dir, `${recipe.name}.log`),
  );
  await listening(own, child);
  const route = {
    via: 'connect',
    address: '127.0.0.1',
    port: own,
    filesPort: port,
    sinkPort: port + 1,
    ca: recipe.ca(setting, home),
    ...(recipe.connectTo !== undefined && { connectTo: recipe.connectTo }),
  } as const;
  return {
    agent: await hostAgent(),
    routes: new Map([[recipe.name, route]]),
    pids: () => familyOf(child.pid ?? 0),
    stop: () => stop(child),
  };
}

/** The upstream itself (nginx for files, our sink for uploads), and the two peers that are nothing but nginx. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { listening, start, stop } from '../child.js';
import type { Route } from '../load/command.js';
import { familyOf, pinned } from '../machine.js';
import type { Workshop } from '../workshop.js';
import { FILES_PORT, type Peer, type Running, type Setting, SINK_PORT } from './peer.js';

const NGINX = '/usr/sbin/nginx';

function nginxConfig({ dir }: Workshop, name: string, servers: string): string {
  const home = join(dir, name);
  mkdirSync(home, { recursive: true });
  const config = join(home, 'nginx.conf');
  const scratch = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(kind => `${kind}_temp_path ${home}/${kind};`)
    .join('\n');
  writeFileSync(
    config,
    `daemon off; worker_processes 1; pid ${home}/nginx.pid; error_log ${home}/error.log warn;
events { worker_connections 8192; }
http {
  access_log off; server_tokens off; sendfile on; tcp_nopush on; tcp_nodelay on;
  keepalive_timeout 300s; keepalive_requests 100000000; client_max_body_size 0;
  ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets off; ssl_session_cache off; ssl_buffer_size 16k;
  ${scratch}
${servers}
}
`,
  );
  return config;
}

export async function startUpstream(
  setting: Pick<Setting, 'shop' | 'port' | 'others' | 'root'>,
): Promise<{ stop(): Promise<void> }> {
  const { shop, port, others, root } = setting;
  const config = nginxConfig(
    shop,
    'upstream',
    `server {
    listen 127.0.0.1:${port + FILES_PORT} ssl http2; ssl_certificate ${shop.cert}; ssl_certificate_key ${shop.key};
    root ${shop.www}; http2_max_concurrent_streams 256;
  }`,
  );
  const nginx = start(pinned(others, [NGINX, '-p', shop.dir, '-c', config]), join(shop.dir, 'upstream.log'));
  const script = join(root, '.cache/tools/bench/sink.js');
  const argv = [process.execPath, script, `${port + SINK_PORT}`, shop.cert, shop.key];
  const sink = start(pinned(others, argv), join(shop.dir, 'sink.log'));
  await Promise.all([listening(port + FILES_PORT, nginx), listening(port + SINK_PORT, sink)]);
  return {
    stop: async () => {
      await Promise.all([stop(nginx), stop(sink)]);
    },
  };
}

/** The load and the upstream alone: what the machine gives. */
export const direct: Peer = {
  name: 'direct',
  columns: ['direct'],
  missing: () => null,
  start: async ({ hostAgent, port, shop }) => {
    const route: Route = {
      via: 'direct',
      address: '127.0.0.1',
      port: port + FILES_PORT,
      filesPort: port + FILES_PORT,
      sinkPort: port + SINK_PORT,
      ca: shop.upstreamCa,
    };
    return {
      agent: await hostAgent(),
      routes: new Map([['direct', route]]),
      pids: () => [],
      stop: async () => undefined,
      h2: true,
    };
  },
};

const REVERSE_PORT = 10;

/** nginx as a TLS reverse proxy: what a C server costs that terminates both sides, of names that it knows beforehand. */
export const reverse: Peer = {
  name: 'nginx',
  columns: ['nginx'],
  missing: () => (existsSync(NGINX) ? null : 'not installed'),
  start: startReverse,
};

async function startReverse({ shop, port, hostAgent, measured }: Setting): Promise<Running> {
  const upstream = (name: string, at: number): string =>
    `upstream ${name} { server 127.0.0.1:${port + at}; keepalive 128; keepalive_requests 100000000; }`;
  const verified = `proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_ssl_trusted_certificate ${shop.upstreamCa}; proxy_ssl_verify on; proxy_ssl_name bench.test;
      proxy_ssl_server_name on; proxy_buffering off; proxy_request_buffering off;`;
  const server = (at: number, name: string): string => `server {
    listen 127.0.0.1:${port + REVERSE_PORT + at} ssl http2; ssl_certificate ${shop.cert};
    ssl_certificate_key ${shop.key};
    location / { proxy_pass https://${name}; ${verified} }
  }`;
  const servers = [
    upstream('files', FILES_PORT),
    upstream('sink', SINK_PORT),
    server(FILES_PORT, 'files'),
    server(SINK_PORT, 'sink'),
  ];
  const config = nginxConfig(shop, 'reverse', servers.join('\n'));
  const child = start(pinned(measured, [NGINX, '-p', shop.dir, '-c', config]), join(shop.dir, 'reverse.log'));
  await listening(port + REVERSE_PORT, child);
  const route: Route = {
    via: 'direct',
    address: '127.0.0.1',
    port: port + REVERSE_PORT + FILES_PORT,
    filesPort: port + REVERSE_PORT + FILES_PORT,
    sinkPort: port + REVERSE_PORT + SINK_PORT,
    ca: shop.upstreamCa,
  };
  return {
    agent: await hostAgent(),
    routes: new Map([['nginx', route]]),
    pids: () => familyOf(child.pid ?? 0),
    stop: () => stop(child),
    h2: true,
  };
}

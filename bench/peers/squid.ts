/** squid-openssl with ssl_bump and generated certificates: the C++ anchor. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listening, start, stop } from '../child.js';
import { FILES_HOST, SINK_HOST, VISITED_HOSTS, visitedHost } from '../load/command.js';
import { familyOf, pinned } from '../machine.js';
import type { Peer, Running, Setting } from './peer.js';

const SQUID = '/usr/sbin/squid';
const CERTGEN = '/usr/lib/squid/security_file_certgen';
const USER = 'proxy';
const PORT = 20;

export const squid: Peer = {
  name: 'squid',
  columns: ['squid'],
  missing: () => (existsSync(SQUID) && existsSync(CERTGEN) ? null : 'not installed'),
  start: startSquid,
};

async function startSquid({ shop, port, hostAgent, measured }: Setting): Promise<Running> {
  const home = mkdtempSync(join(tmpdir(), 'bench-squid-'));
  const certificates = join(home, 'certs');
  execFileSync(CERTGEN, ['-c', '-s', certificates, '-M', '16MB'], { stdio: 'pipe' });
  const hosts = join(home, 'hosts');
  const names = [
    FILES_HOST,
    SINK_HOST,
    ...Array.from({ length: VISITED_HOSTS }, (_, number) => visitedHost(number)),
  ];
  writeFileSync(hosts, names.map(name => `127.0.0.1 ${name}\n`).join(''));
  const isRoot = process.getuid?.() === 0;
  const config = join(home, 'squid.conf');
  // The documented way to intercept: learn the name (step 1), fetch the server's certificate and mimic it.
  writeFileSync(
    config,
    `http_port 127.0.0.1:${port + PORT} ssl-bump tls-cert=${shop.peerBoth} generate-host-certificates=on dynamic_cert_mem_cache_size=16MB
sslcrtd_program ${CERTGEN} -s ${certificates} -M 16MB
sslcrtd_children 2 startup=1 idle=1
tls_outgoing_options cafile=${shop.upstreamCa} options=NO_TICKET
acl step1 at_step SslBump1
ssl_bump peek step1
ssl_bump bump all
http_access allow all
cache deny all
cache_mem 8 MB
hosts_file ${hosts}
access_log none
cache_log ${home}/cache.log
pid_filename none
coredump_dir ${home}
shutdown_lifetime 0 seconds
forwarded_for delete
via off
pinger_enable off
max_filedescriptors 16384
${isRoot ? `cache_effective_user ${USER}` : ''}
`,
  );
  // Started by root, squid becomes another user, and its helper too.
  if (isRoot) execFileSync('chown', ['-R', USER, home]);
  const child = start(
    pinned(measured, [SQUID, '-N', '-n', `bench${process.pid}`, '-f', config]),
    join(shop.dir, 'squid.log'),
  );
  await listening(port + PORT, child);
  const route = {
    via: 'connect',
    address: '127.0.0.1',
    port: port + PORT,
    filesPort: port,
    sinkPort: port + 1,
    ca: shop.peerCa,
  } as const;
  return {
    agent: await hostAgent(),
    routes: new Map([['squid', route]]),
    pids: () => familyOf(child.pid ?? 0),
    stop: async () => {
      await stop(child);
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/**
 * Real servers as upstreams: nginx, Apache httpd, haproxy and squid, each run as a child with a configuration of its
 * own on loopback. All answer 200 to whatever they take, and log what they made of each request.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { issue, type TestCa } from '../support/tls.js';

/** One request as the server understood it. */
export interface LoggedRequest {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly status: number;
}

export interface Origin {
  readonly port: number;
  /** TLS with HTTP/2 and HTTP/1.1; null where the server has none here. */
  readonly tlsPort: number | null;
  /** All requests so far, in the order in which they ended. */
  logged(): readonly LoggedRequest[];
  close(): Promise<void>;
}

export type OriginName = 'nginx' | 'apache2' | 'haproxy' | 'squid';

/** What is run, and how its log reads. */
interface Recipe {
  readonly argv: readonly string[];
  readonly files: Readonly<Record<string, string>>;
  /** The log is what the child prints. */
  readonly logsToStdout?: boolean;
}

interface Place {
  readonly dir: string;
  readonly port: number;
  readonly tlsPort: number;
  /** Squid's parent: a server that answers 200. */
  readonly parentPort: number;
}

const RECIPES: Readonly<Record<OriginName, (place: Place) => Recipe>> = { nginx, apache2, haproxy, squid };

/** Where Debian puts servers. */
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
const START_MS = 20_000;

/**
 * Starts one; throws with what it said when it does not come up. `ca` signs its certificate for `names`; `isIdle`: it gets
 * what time of the processors the others leave.
 */
export async function startOrigin(
  name: OriginName,
  ca: TestCa,
  names: readonly string[],
  { isIdle = false } = {},
): Promise<Origin> {
  const dir = mkdtempSync(join(tmpdir(), `sallyport-${name}-`));
  // Started as root, each of them becomes somebody else, who must be able to write here.
  chmodSync(dir, 0o777);
  const parent = name === 'squid' ? await startParent() : null;
  const [port, tlsPort] = await Promise.all([freePort(), freePort()]);
  const recipe = RECIPES[name]({ dir, port, tlsPort, parentPort: parent?.port ?? 0 });
  const { keyPem, certPem } = issue(ca, { names });
  for (const [file, text] of Object.entries({ ...recipe.files, 'key.pem': keyPem, 'cert.pem': certPem })) {
    writeFileSync(join(dir, file), text, { mode: 0o644 });
  }
  const child = startChild(
    isIdle ? { ...recipe, argv: ['chrt', '--idle', '0', ...recipe.argv] } : recipe,
    dir,
  );
  const close = async (): Promise<void> => {
    await child.end();
    await parent?.close();
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await reachable(port, child);
  } catch (error) {
    await close();
    throw error;
  }
  const log = (): string => (recipe.logsToStdout ? child.said() : readText(join(dir, 'log')));
  return { port, tlsPort: name === 'nginx' ? tlsPort : null, logged: () => readLog(log()), close };
}

interface Child {
  readonly process: ChildProcess;
  said(): string;
  end(): Promise<void>;
}

function startChild({ argv, logsToStdout }: Recipe, dir: string): Child {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { cwd: dir, env: { PATH }, stdio: ['ignore', 'pipe', 'pipe'] });
  const chunks: Buffer[] = [];
  child.stdout.on('data', chunk => chunks.push(chunk));
  child.stderr.on('data', chunk => (logsToStdout ? undefined : chunks.push(chunk)));
  const ended = new Promise<void>(resolve =>
    child.once('close', () => resolve()).once('error', () => resolve()),
  );
  child.on('error', error =>
    chunks.push(Buffer.from(`${error.message}: scripts/install-test-deps.sh installs it\n`)),
  );
  const end = async (): Promise<void> => {
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), 3_000);
    await ended;
    clearTimeout(late);
  };
  return { process: child, said: () => Buffer.concat(chunks).toString('latin1'), end };
}

async function reachable(port: number, child: Child): Promise<void> {
  for (let waited = 0; waited < START_MS; waited += 50) {
    if (child.process.exitCode !== null || child.process.pid === undefined) break;
    const socket = net.connect({ host: '127.0.0.1', port });
    const there = await new Promise<boolean>(resolve => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (there) return;
    await delay(50);
  }
  throw new Error(`${child.process.spawnfile} does not come up: ${child.said()}`);
}

/** One line a request: its first line, host and status between tabs. */
function readLog(text: string): LoggedRequest[] {
  return text
    .split('\n')
    .filter(line => line.startsWith('@\t'))
    .map(line => {
      const [, first = '', host = '', status = ''] = line.split('\t');
      const [method = '', target = ''] = first.split(' ');
      return { method, target, host, status: Number(status) };
    })
    .filter(({ method }) => method !== '-'); // a connection without a request
}

function nginx({ dir, port, tlsPort }: Place): Recipe {
  const conf = `
    daemon off; master_process off; worker_processes 1; pid ${dir}/pid; error_log ${dir}/errors;
    events { worker_connections 512; }
    http {
      log_format seen escape=none '@\t$request\t$http_host\t$status';
      access_log ${dir}/log seen;
      ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(use => `${use}_temp_path ${dir}/${use};`).join(' ')}
      merge_slashes off;
      server {
        listen 127.0.0.1:${port};
        listen 127.0.0.1:${tlsPort} ssl http2;
        ssl_certificate ${dir}/cert.pem; ssl_certificate_key ${dir}/key.pem;
        location / { return 200 ok; }
      }
    }`;
  return { argv: ['nginx', '-p', dir, '-c', `${dir}/conf`, '-e', `${dir}/errors`], files: { conf } };
}

function apache2({ dir, port }: Place): Recipe {
  const modules = ['mpm_event', 'authz_core', 'rewrite'];
  const conf = `
    ServerRoot ${dir}
    ServerName origin.test
    PidFile ${dir}/pid
    DefaultRuntimeDir ${dir}
    Mutex sem
    ErrorLog ${dir}/errors
    Listen 127.0.0.1:${port}
    ${modules.map(name => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
    ${process.getuid?.() === 0 ? 'User nobody\nGroup nogroup' : ''}
    DocumentRoot ${dir}
    AllowEncodedSlashes NoDecode
    LogFormat "@\t%r\t%{Host}i\t%>s" seen
    CustomLog ${dir}/log seen
    RewriteEngine On
    RewriteRule ^ - [R=200,L]
    StartServers 1
    `;
  return { argv: ['apache2', '-X', '-f', `${dir}/conf`, '-d', dir], files: { conf } };
}

function haproxy({ port }: Place): Recipe {
  const conf = `
global
    log stdout format raw local0 info
    maxconn 500
defaults
    mode http
    timeout client 20s
    timeout http-request 5s
    option dontlognull
frontend seen
    bind 127.0.0.1:${port}
    log global
    http-request capture req.hdr(host) len 512
    log-format "@\t%HM %HU HTTP/1.1\t%[capture.req.hdr(0)]\t%ST"
    http-request wait-for-body time 1s at-least 1
    http-request return status 200 content-type text/plain string ok
`;
  return { argv: ['haproxy', '-db', '-f', 'conf'], files: { conf }, logsToStdout: true };
}

function squid({ dir, port, parentPort }: Place): Recipe {
  const conf = `
http_port 127.0.0.1:${port} accel defaultsite=allowed.test vhost
cache_peer 127.0.0.1 parent ${parentPort} 0 no-query originserver no-digest no-netdb-exchange
never_direct allow all
http_access allow all
cache deny all
cache_mem 4 MB
memory_pools off
max_filedescriptors 512
pid_filename ${dir}/pid
cache_log ${dir}/errors
coredump_dir ${dir}
visible_hostname origin.test
strip_query_terms off
logformat seen @	%rm %ru HTTP/1.1	%{Host}>h	%>Hs
access_log stdio:${dir}/log seen
shutdown_lifetime 0 seconds
buffered_logs off
pinger_enable off
icp_port 0
htcp_port 0
snmp_port 0
`;
  return { argv: ['squid', '-N', '-f', `${dir}/conf`], files: { conf } };
}

async function startParent(): Promise<{ readonly port: number; close(): Promise<void> }> {
  const server = http.createServer((message, response) => {
    message.resume().once('end', () => response.end('ok'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // Nothing was asked yet, so nothing was logged.
  }
}

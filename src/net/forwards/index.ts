/**
 * Ports of the host that lead into a sandbox (shell: sockets, one process for each sandbox that has any).
 *
 * The sockets are the host's; the connection to the sandbox is made in the sandbox's own network namespace, by a process
 * that was started there. So nothing of the host's network is opened for it, and a sandbox without forwards has no way
 * in at all.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer, isIPv6, type Server } from 'node:net';
import { fileURLToPath } from 'node:url';
import { errorCode, GatewayError } from '../../core/errors.js';
import { nsenterArgs, SYSTEM_PATH, type Tools } from '../vestibule/index.js';

export interface ForwardSpec {
  readonly hostIp: string;
  /** 0: any free one. */
  readonly hostPort: number;
  readonly guestPort: number;
  readonly protocol: 'tcp' | 'udp';
}

export interface ForwardEvent {
  readonly type: 'opened' | 'closed';
  /** With the port that it got. */
  readonly forward: ForwardSpec;
  /** `ADDRESS:PORT` on the host's side. */
  readonly peer: string;
  /** Bytes from the peer, and to it; known at the end of a TCP connection. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

export interface ForwardTarget {
  /** A process in the network namespace that leads to the sandbox. */
  readonly pid: number;
  readonly userNamespace: boolean;
  readonly tools: Pick<Tools, 'nsenter'>;
  /** The sandbox, as that namespace knows it. */
  readonly address: string;
}

export interface Forwards extends AsyncDisposable {
  /** As they are open, with the ports that were free. */
  readonly open: readonly ForwardSpec[];
  /** Closes the ports and resets what goes through them. Idempotent. */
  close(): Promise<void>;
}

/** Throws `NETWORK_CONFIG_INVALID` for a port that cannot be had, `WARDEN_FAILED`. */
export async function openForwards(
  specs: readonly ForwardSpec[],
  target: ForwardTarget,
  onEvent: (event: ForwardEvent) => void = () => {},
): Promise<Forwards> {
  const bound: Bound[] = [];
  let child: ChildProcess | null = null;
  try {
    // All ports first: a forward that cannot be is told before anything runs.
    for (const spec of specs) bound.push(await bind(spec));
    child = startForwarder(target);
    await handOver(child, bound, target.address, onEvent);
  } catch (error) {
    child?.kill('SIGKILL');
    for (const { socket } of bound) socket.close();
    throw error;
  }
  const close = (): Promise<void> => end(child);
  return { open: bound.map(({ spec }) => spec), close, [Symbol.asyncDispose]: close };
}

interface Bound {
  readonly spec: ForwardSpec;
  readonly socket: Server | DatagramSocket;
}

async function bind(spec: ForwardSpec): Promise<Bound> {
  const { hostIp, hostPort, protocol } = spec;
  const socket = protocol === 'tcp' ? createServer() : createSocket(isIPv6(hostIp) ? 'udp6' : 'udp4');
  try {
    if ('listen' in socket) socket.listen({ host: hostIp, port: hostPort, exclusive: true });
    else socket.bind({ address: hostIp, port: hostPort, exclusive: true });
    await once(socket, 'listening');
  } catch (cause) {
    socket.close();
    const text = `port_forwards: ${protocol} ${hostIp}:${hostPort} cannot be opened (${errorCode(cause)})`;
    throw new GatewayError('NETWORK_CONFIG_INVALID', text, { cause });
  }
  const { port } = socket.address() as { readonly port: number };
  return { spec: { ...spec, hostPort: port }, socket };
}

function startForwarder({ pid, userNamespace, tools }: ForwardTarget): ChildProcess {
  const enter = nsenterArgs(pid, userNamespace);
  return spawn(tools.nsenter, [...enter, process.execPath, forwarderFile()], {
    cwd: '/',
    env: { PATH: SYSTEM_PATH },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
}

interface Told {
  readonly id: number;
  readonly type: 'ready' | 'opened' | 'closed';
  readonly peer: string;
  readonly sent: number;
  readonly received: number;
}

/** Resolves when the forwarder has taken every socket; ours are closed then. */
async function handOver(
  child: ChildProcess,
  bound: readonly Bound[],
  address: string,
  onEvent: (event: ForwardEvent) => void,
): Promise<void> {
  let said = '';
  child.stderr?.on('data', chunk => {
    if (said.length < 2048) said += String(chunk);
  });
  const failed = new Promise<never>((_resolve, reject) => {
    const fail = (cause?: unknown): void =>
      reject(new GatewayError('WARDEN_FAILED', `ports cannot be forwarded: ${said.trim()}`, { cause }));
    child.once('error', fail);
    child.once('exit', () => fail());
  });
  const ready = new Promise<void>(resolve => {
    let missing = bound.length;
    child.on('message', message => {
      const { id, type, peer, sent, received } = message as Told;
      const forward = bound[id]?.spec;
      if (type === 'ready') missing -= 1;
      else if (forward !== undefined) {
        onEvent({ type, forward, peer, receivedBytes: sent, sentBytes: received });
      }
      if (missing === 0) resolve();
    });
  });
  for (const [id, { spec, socket }] of bound.entries()) {
    const forward = { id, protocol: spec.protocol, host: address, port: spec.guestPort };
    child.send(forward, handleOf(socket), () => socket.close());
  }
  await Promise.race([ready, failed]);
  failed.catch(() => {}); // its end, once it works, is the end of the forwards
}

/** A server is sent as its bare handle: only so can the other side leave connections half open. */
function handleOf(socket: Server | DatagramSocket): Server | DatagramSocket {
  if (!('listen' in socket)) return socket;
  return Reflect.get(socket, '_handle') as Server;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

/** The compiled forwarder, also for a caller that runs from the sources. */
function forwarderFile(): string {
  const here = fileURLToPath(new URL('./forwarder.cjs', import.meta.url));
  if (existsSync(here)) return here;
  return here.replace(/\/src\/(net\/forwards\/forwarder\.cjs)$/, '/dist/$1');
}

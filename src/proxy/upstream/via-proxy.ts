/**
 * The way out through a proxy of the operator's (CONNECT, RFC 9110 §9.3.6), for networks that have no other.
 *
 * What was decided stays decided: the proxy gets the decided name, and the certificate behind it is verified against
 * that name. But the proxy does the look-up, so the addresses of a name cannot be asked about; literals still are. The
 * proxy's own address is the operator's word. A shell: sockets.
 */
import type { Socket } from 'node:net';
import { type Endpoint, endpointText } from '../../core/address.js';
import type { GatewayError } from '../../core/errors.js';
import { type Host, hostText } from '../../core/host.js';
import type { Resolver } from '../../dns/resolver.js';
import type { UpstreamProxy } from '../../policy/proxy-routes.js';
import type { Verdict } from '../../policy/question.js';
import { approve, type Destination } from './approve.js';
import { connectFirst, type Dialled, type Dialler, type DialTimes } from './dial.js';
import { aborted, unreachable } from './failure.js';

/** A proxy's answer to CONNECT is its status and a few fields. */
const MAX_HEAD_BYTES = 8_192;
const STATUS_LINE = /^HTTP\/1\.[01] ([1-5]\d\d)(?: [^\r\n\0]*)?\r\n/;
const HEAD_END = '\r\n\r\n';

const OPERATORS_WORD: Verdict = { allow: true, rule: 'proxy', via: 'tunnel', secrets: [] };

/**
 * A tunnel to `destination` through `proxy`; bytes that the destination sent at once are back in the socket. The
 * endpoint is the proxy's. Throws as `reachDirectly` does; UPSTREAM_UNREACHABLE for a proxy that refuses.
 */
export async function reachThrough(
  proxy: UpstreamProxy,
  destination: Destination,
  dialling: { readonly resolver: Resolver; readonly dialler: Dialler; readonly times: DialTimes },
  signal: AbortSignal,
): Promise<Dialled> {
  const { host, port } = destination;
  if (host.kind === 'ip') await approve(destination, dialling.resolver, signal);
  const own = { host: proxy.host, port: proxy.port, pin: null, decideDial: () => OPERATORS_WORD };
  const endpoints = await approve(own, dialling.resolver, signal);
  const dialled = await connectFirst(endpoints, dialling.dialler, dialling.times, signal);
  await openTunnel(dialled.socket, proxy, connectTarget(host, port), dialling.times.connectMs, signal);
  return dialled;
}

/** CONNECT always names the port. */
function connectTarget(host: Host, port: number): string {
  return host.kind === 'ip'
    ? endpointText({ address: host.address, port } satisfies Endpoint)
    : `${hostText(host)}:${port}`;
}

function openTunnel(
  socket: Socket,
  proxy: UpstreamProxy,
  target: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let head = Buffer.alloc(0);
    const timer = setTimeout(
      () => end(unreachable(target, `the proxy ${proxy.text} did not answer`)),
      timeoutMs,
    );
    const onAbort = (): void => end(aborted(signal));
    const onClose = (): void => end(unreachable(target, `the proxy ${proxy.text} hung up`));
    const onReadable = (): void => {
      // Read, never flow: what comes after the head belongs to whoever gets the socket.
      for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
        head = Buffer.concat([head, chunk]);
        const headEnd = head.indexOf(HEAD_END);
        if (headEnd < 0 && head.length <= MAX_HEAD_BYTES) continue;
        end(
          refusalOf(head.toString('latin1', 0, headEnd + HEAD_END.length), target, proxy),
          headEnd + HEAD_END.length,
        );
        return;
      }
    };
    function end(error: GatewayError | null, headBytes = 0): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.off('readable', onReadable).off('end', onClose).off('close', onClose);
      if (error !== null) {
        socket.destroy();
        reject(error);
        return;
      }
      if (head.length > headBytes) socket.unshift(head.subarray(headBytes));
      resolve();
    }
    socket.on('readable', onReadable).once('end', onClose).once('close', onClose);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    else socket.write(proxy.connectHead(target), 'latin1');
  });
}

/** Null for a tunnel that is open. */
function refusalOf(head: string, target: string, proxy: UpstreamProxy): GatewayError | null {
  const status = head.endsWith(HEAD_END) ? STATUS_LINE.exec(head)?.[1] : undefined;
  if (status === undefined) return unreachable(target, `the proxy ${proxy.text} did not answer CONNECT`);
  if (status.startsWith('2')) return null;
  const why = status === '407' ? 'wants other credentials' : 'refused';
  return unreachable(target, `the proxy ${proxy.text} ${why} (${status})`);
}

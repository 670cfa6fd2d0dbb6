import { once } from 'node:events';
import type net from 'node:net';
import { openBench } from '../support/bench.js';
import { startTcpServer } from '../support/upstream.js';

/** Bytes a second. */
const RATE = 3_000_000;
/** What is measured, after the start; long enough that 5 % is more than a timer's lateness. */
const SECONDS = 6;
const FLOWS = 3;

test.each(['max_ingress_bps', 'max_egress_bps'])(
  '%s holds within 5 % over several flows, end to end',
  async limit => {
    const down = limit === 'max_ingress_bps';
    let received = 0;
    const upstream = await startTcpServer(socket => (down ? sendForEver(socket) : sink(socket)));
    const head = Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65_536, 97), Buffer.from('\r\n')]);

    function sendForEver(socket: net.Socket): void {
      socket.write(head);
      const more = (): void => {
        while (!socket.destroyed && socket.write(chunk));
      };
      socket.once('data', more).on('drain', more);
    }

    function sink(socket: net.Socket): void {
      socket.on('data', bytes => {
        received += bytes.length;
      });
    }

    await using bench = await openBench({
      policy: { allow_domain: ['allowed.test'], limits: { [limit]: RATE } },
      route: () => upstream,
    });
    const clients = await Promise.all(
      Array.from({ length: FLOWS }, () => bench.connect({ host: 'allowed.test', port: 80 })),
    );
    for (const client of clients) {
      if (down) {
        client.write('GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n');
        client.on('data', bytes => {
          received += bytes.length;
        });
      } else {
        client.write('POST / HTTP/1.1\r\nHost: allowed.test\r\nTransfer-Encoding: chunked\r\n\r\n');
        const more = (): void => {
          while (!client.destroyed && client.write(chunk));
        };
        client.on('drain', more);
        more();
      }
    }
    await pause(1_000);
    const [start, before] = [performance.now(), received];
    await pause(SECONDS * 1_000);
    const perSecond = ((received - before) * 1_000) / (performance.now() - start);
    console.info(`${limit}: ${Math.round(perSecond)} bytes a second of ${RATE}`);
    for (const client of clients) client.destroy();
    await upstream.close();
    expect(Math.abs(perSecond / RATE - 1)).toBeLessThan(0.05);
  },
);

function pause(milliseconds: number): Promise<unknown> {
  return once(AbortSignal.timeout(milliseconds), 'abort');
}

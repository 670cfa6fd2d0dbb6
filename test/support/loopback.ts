/** Connected pairs of real sockets on loopback. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface SocketPair extends AsyncDisposable {
  /** What dialled. */
  readonly near: Socket;
  /** What was accepted; half-open, as the inner door's are. */
  readonly far: Socket;
}

export async function socketPair(): Promise<SocketPair> {
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const near = connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    allowHalfOpen: true,
  });
  near.setNoDelay(true);
  await once(near, 'connect');
  const [far] = await accepted;
  server.close();
  const close = async () => {
    near.destroy();
    far.destroy();
  };
  return { near, far, [Symbol.asyncDispose]: close };
}

/** Everything until the end or the close of `socket`. */
export function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  return new Promise(resolve => {
    const done = () => resolve(Buffer.concat(chunks));
    // A reset ends the bytes too; the caller judges what came before.
    socket
      .on('data', chunk => chunks.push(chunk))
      .on('end', done)
      .on('close', done)
      .on('error', done);
  });
}

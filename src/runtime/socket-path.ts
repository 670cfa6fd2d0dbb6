/**
 * Paths of Unix sockets, however deep their folder (shell: opens folders). The kernel takes 107 bytes (unix(7)); a
 * longer path is named by way of its folder's descriptor.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';

const LONGEST = 107;

export interface SocketPath extends Disposable {
  readonly path: string;
  /** Once nobody needs `path` any more. */
  release(): void;
}

export function socketPath(path: string): SocketPath {
  if (Buffer.byteLength(path) <= LONGEST) return { path, release: () => {}, [Symbol.dispose]: () => {} };
  const fd = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  let open = true;
  const release = (): void => {
    // Once: the number may be another file's by the second call.
    if (open) closeSync(fd);
    open = false;
  };
  return { path: `/proc/self/fd/${fd}/${basename(path)}`, release, [Symbol.dispose]: release };
}

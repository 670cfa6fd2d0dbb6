/**
 * The host's Unix sockets that have a path (proc_net(5), unix). A read-only mount does not keep anybody from
 * connecting, and a daemon behind one (Docker's, a display's, an agent's) is a way round the gateway.
 *
 * Pure. Abstract sockets need no care: they belong to the host's network namespace.
 */

/** `Num RefCount Protocol Flags Type St Inode Path`; the path is the rest of the line and may hold blanks. */
const LINE = /^[0-9a-f]+: [0-9A-F]+ [0-9A-F]+ [0-9A-F]+ [0-9A-F]+ [0-9A-F]+ +\d+ (\/.+)$/gm;

/** Every path in the text of /proc/net/unix, once. */
export function parseUnixSockets(text: string): readonly string[] {
  return [...new Set(Array.from(text.matchAll(LINE), ([, path = '']) => path))];
}

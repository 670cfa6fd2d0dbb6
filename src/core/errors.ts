/**
 * Every failure the gateway can name. A code is API: never renamed, never reused.
 * `docs/reference/errors.md` lists each with what to do next; a test keeps the two equal.
 */
export type GatewayErrorCode =
  | 'CONFIG_INVALID' // a file, flag or option failed to parse; `message` lists every problem with its path
  | 'SECRET_UNAVAILABLE' // a secret's source gave no value; the message names the secret, never the value
  | 'SECRET_LEAK' // a placeholder or a value was on its way to where it may not go; the request was cut off
  | 'CA_UNSAFE' // the CA's key can be read by others, or its folder is not ours
  | 'TOOL_MISSING' // a program the inner door stands on is not installed
  | 'NAMESPACE_DENIED' // the kernel or its policy refuses user or network namespaces
  | 'TUN_DENIED' // /dev/net/tun cannot be opened, so a machine would have no network
  | 'WARDEN_FAILED' // the warden ended before the door was ready
  | 'COMMAND_NOT_FOUND' // the sandbox's command does not exist (exit code 127)
  | 'COMMAND_NOT_EXECUTABLE' // it exists and cannot be run (exit code 126)
  | 'RESOLVE_FAILED' // the gateway's own look-up gave an error or no address
  | 'DIAL_REFUSED' // every resolved address was refused by the policy; `cause` holds the verdict
  | 'UPSTREAM_UNREACHABLE' // connect failed or timed out
  | 'UPSTREAM_TIMEOUT' // no response head within `limits.upstream_head_ms`, or an idle upstream
  | 'UPSTREAM_UNTRUSTED' // the upstream's certificate did not verify
  | 'UPSTREAM_PROTOCOL' // the upstream's bytes are not one valid answer
  | 'UPSTREAM_TRUNCATED' // the upstream closed before the end of its message
  | 'CLIENT_ABORTED' // the sandbox went away first
  | 'CLIENT_PROTOCOL' // the sandbox's bytes are not one valid request
  | 'LIMIT_EXCEEDED' // a limit of the policy was reached
  | 'GATEWAY_CLOSED' // the gateway is shutting down
  | 'EVENTS_FAILED' // the event log cannot be opened, read or written
  | 'BLOCKED' // a request was refused by the policy, or a tunnel ended by a new one
  | 'HOST_NOT_ALLOWED' // no rule allows the host
  | 'TIMEOUT' // an operation on a sandbox took longer than it may
  | 'VM_NOT_FOUND' // there is no sandbox of this id or name
  | 'VM_EXISTS' // there is one of this name already
  | 'VM_NOT_RUNNING' // the sandbox must run for this
  | 'VM_STATE_INVALID' // the sandbox's state does not allow this; the message says which does
  | 'VM_CONFIG_INVALID' // a sandbox's configuration has problems; `message` lists every one with its path
  | 'VM_START_FAILED' // the machine did not come up
  | 'VM_UNREACHABLE' // the sandbox's supervisor does not answer
  | 'IMAGE_NOT_FOUND' // no image of this name is here, or nothing is at the path
  | 'IMAGE_INVALID' // an image is damaged, hostile, or of a form that is not read; the message says where
  | 'IMAGE_PULL_FAILED' // a registry did not give an image
  | 'IMAGE_STORE_FAILED' // the image store cannot be used
  | 'FILE_NOT_FOUND' // no such file or folder in the sandbox
  | 'FILE_FAILED' // a file of the sandbox could not be read or written
  | 'NETWORK_UNSUPPORTED' // this machine cannot give the network that was asked for
  | 'NETWORK_CONFIG_INVALID' // the network's configuration has problems
  | 'MOUNT_CONFIG_INVALID' // a mount cannot be
  | 'EVENTS_INVALID' // a line of an event log holds no event; the message names file and line
  | 'CURSOR_UNKNOWN' // the event from which to go on is not there, or not any more
  | 'SPOOL_LOCKED' // another process writes to the spool
  | 'SPOOL_INVALID'; // the folder is no spool that this sallyport can go on with

/** Something the gateway tried and could not do. A refusal is not one: that is a `Verdict`. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: GatewayErrorCode;

  constructor(code: GatewayErrorCode, message: string, options?: { cause: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** The code of any thrown value: ours, Node's (`ECONNRESET`), or the word `UNKNOWN`. */
export function errorCode(error: unknown): string {
  // By shape, not by class: an error made in another realm (a worker, a test's context) has another Error.
  if (typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string') {
    return error.code;
  }
  return 'UNKNOWN';
}

/**
 * Hears an `error` of which somebody else is told, most often by `close`; unheard it would end the process. One for all:
 * a closure for each socket would hold what its siblings hold until Node lets the socket go (docs/decisions/0063).
 */
export const ignore = (): void => undefined;

/** Lets `ignore` hear the errors of `socket`, once, whoever else has asked: three hearers take six times the room of two. */
export function ignoreErrors(socket: HearsErrors): void {
  if (socket.listenerCount('error', ignore) === 0) socket.on('error', ignore);
}

interface HearsErrors {
  listenerCount(event: 'error', listener: () => void): number;
  on(event: 'error', listener: () => void): unknown;
}

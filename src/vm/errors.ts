/**
 * The errors of the sandbox core by the names that users know them by: each a `GatewayError` with one code.
 *
 * `instanceof` asks for the code, so that an error holds its name wherever it was made: in another process, another
 * realm, or by a part that knows only the code.
 */
import { errorCode, GatewayError, type GatewayErrorCode } from '../core/errors.js';

/** A kind of error: to throw, and to ask with `instanceof`. */
export interface NamedError {
  new (message?: string, options?: { cause: unknown }): GatewayError;
  readonly code: GatewayErrorCode;
  [Symbol.hasInstance](value: unknown): boolean;
}

function named(code: GatewayErrorCode, says: string): NamedError {
  return class extends GatewayError {
    static readonly code = code;

    constructor(message: string = says, options?: { cause: unknown }) {
      super(code, message, options);
    }

    static override [Symbol.hasInstance](value: unknown): boolean {
      return errorCode(value) === code;
    }
  };
}

export const ErrBlocked = named('BLOCKED', 'request blocked by policy');
export const ErrHostNotAllowed = named('HOST_NOT_ALLOWED', 'host not in allowlist');
export const ErrSecretLeak = named('SECRET_LEAK', 'secret placeholder sent to unauthorized host');
export const ErrTimeout = named('TIMEOUT', 'operation timed out');
export const ErrVMNotRunning = named('VM_NOT_RUNNING', 'VM is not running');
export const ErrVMNotFound = named('VM_NOT_FOUND', 'VM not found');
export const ErrVMExists = named('VM_EXISTS', 'there is a VM of this name already');
export const ErrVMState = named('VM_STATE_INVALID', 'the VM is in a state that does not allow this');
export const ErrVMStartFailed = named('VM_START_FAILED', 'the VM did not come up');
export const ErrVMUnreachable = named('VM_UNREACHABLE', 'the VM does not answer');
export const ErrInvalidConfig = named('VM_CONFIG_INVALID', 'invalid configuration');
export const ErrNetworkUnsupportedPlatform = named(
  'NETWORK_UNSUPPORTED',
  'network unsupported on this platform',
);
export const ErrNetworkInvalidConfig = named('NETWORK_CONFIG_INVALID', 'invalid network config');
export const ErrMountInvalidConfig = named('MOUNT_CONFIG_INVALID', 'invalid mount config');
export const ErrFileNotFound = named('FILE_NOT_FOUND', 'no such file');
export const ErrFileFailed = named('FILE_FAILED', 'the file could not be read or written');

/** Opens the inner door (shell). */
import { GatewayError } from '../../core/errors.js';
import type { Vestibule, VestibuleOptions } from './vestibule.js';

export { ANY_PORT, type PortRange } from './ports.js';
export type { Refusal } from './refusals.js';
export type { Cell, Vestibule, VestibuleOptions } from './vestibule.js';

/**
 * Makes the namespaces, loads the rules and listens. Throws `TOOL_MISSING`, `NAMESPACE_DENIED` or `WARDEN_FAILED`;
 * the message holds the command that mends it.
 */
export async function openVestibule(options: VestibuleOptions): Promise<Vestibule> {
  options.signal?.throwIfAborted();
  throw new GatewayError('WARDEN_FAILED', `the door of ${options.sandbox} cannot be opened yet`);
}

/** A refusal as an error, for programs that would rather throw one. Pure. */
import type { GatewayError } from '../core/errors.js';
import type { Event } from '../events/event.js';
import type { Deny } from '../policy/question.js';
import { HOST_REASONS } from '../proxy/refusal.js';
import { ErrBlocked, ErrHostNotAllowed, ErrSecretLeak } from '../vm/index.js';

/**
 * The error by which the sandbox was told of it: `ErrHostNotAllowed`, `ErrSecretLeak` or `ErrBlocked`; null for what is
 * no refusal.
 */
export function errorOfRefusal(refusal: Deny | Event): GatewayError | null {
  if ('hint' in refusal) return errorOf(refusal.reason, refusal.hint);
  const { type, network } = refusal;
  if (network === undefined || !network.blocked) return null;
  const says = `${network.host}: ${network.block_reason ?? network.reason ?? type}`;
  return type === 'secret.leak' ? new ErrSecretLeak(says) : errorOf(network.reason, says);
}

function errorOf(reason: string | null, says: string): GatewayError {
  if (reason === 'secret-leak') return new ErrSecretLeak(says);
  return reason !== null && HOST_REASONS.has(reason) ? new ErrHostNotAllowed(says) : new ErrBlocked(says);
}

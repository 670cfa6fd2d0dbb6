/** The deny reasons as data, for the schema, the documentation and its parity test. */
import type { DenyReason } from './question.js';

/** One line each: what it means. The type keeps this table complete. */
export const REASON_MEANINGS: Readonly<Record<DenyReason, string>> = {
  'no-policy': 'there is no policy: none was given, or it failed to load',
  'no-rule': 'no rule allows it, and mode is block_all',
  'deny-rule': 'a deny rule names it',
  'port-not-allowed': 'the host is allowed, on other ports',
  'method-not-allowed': 'the host is allowed, with other methods',
  'path-not-allowed': 'the host is allowed, on other paths',
  'path-ambiguous': 'a rule with paths applies, and two servers could read the path as two resources',
  'private-address':
    'a private, loopback or other special-purpose address, or a name that is only ever local',
  'metadata-address': "a cloud's metadata service",
  'gateway-address': "the gateway's own listener",
  'not-inspectable': 'a rule needs to read HTTP, and the bytes are not HTTP',
};

export const DENY_REASONS: readonly DenyReason[] = Object.keys(REASON_MEANINGS).filter(
  (key): key is DenyReason => Object.hasOwn(REASON_MEANINGS, key),
);

/**
 * TLS alerts in the clear (RFC 8446 §6, RFC 6066 §9): how a handshake is refused before there are keys.
 *
 * Pure.
 */
import type { HelloFault } from './client-hello.js';

/** The fatal alerts that the gateway sends. */
export const ALERT = {
  handshakeFailure: 40,
  accessDenied: 49,
  decodeError: 50,
  protocolVersion: 70,
  unrecognizedName: 112,
  noApplicationProtocol: 120,
} as const;

export type Alert = (typeof ALERT)[keyof typeof ALERT];

const FAULT_ALERT: Readonly<Record<HelloFault, Alert>> = {
  'not-tls': ALERT.decodeError,
  sslv2: ALERT.protocolVersion,
  'too-large': ALERT.decodeError,
  malformed: ALERT.decodeError,
  'bad-server-name': ALERT.unrecognizedName,
  'old-version': ALERT.protocolVersion,
};

export function alertOf(fault: HelloFault): Alert {
  return FAULT_ALERT[fault];
}

const ALERT_RECORD = 21;
const FATAL = 2;

/** One record with one fatal alert. Its version is 1.2's: clients of 1.0 and 1.1 take it too. */
export function emitAlert(alert: Alert): Uint8Array {
  return Uint8Array.of(ALERT_RECORD, 3, 3, 0, 2, FATAL, alert);
}

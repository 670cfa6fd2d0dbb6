/**
 * How the gateway speaks TLS towards a sandbox (RFC 9325): 1.2 and 1.3, forward secrecy and AEAD only, and no
 * resumption in any form. A resumed handshake would skip the certificate, and with it the name it was decided for.
 */
import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';

/** AES-128 first: the gateway pays for the cipher on both of its sides. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
].join(':');

/** A context for one certificate. Costs about a millisecond of CPU: keep it. */
export function serverContext(certPem: string, keyPem: string): SecureContext {
  return createSecureContext({
    cert: certPem,
    key: keyPem,
    ca: [], // no client is ever verified: without this the bundled roots are put in
    minVersion: 'TLSv1.2',
    ciphers: CIPHERS,
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  });
}

/**
 * The gateway's own requests to services of secrets: one request, one connection, TLS 1.2 or later, verified against
 * the same roots as upstreams, no redirect followed. A shell: TLS.
 *
 * The name must stand in the certificate's alternative names (RFC 9525 §6.3), never in its common name alone.
 */
import { X509Certificate } from 'node:crypto';
import https from 'node:https';
import { isIP } from 'node:net';
import type { SecureContext } from 'node:tls';
import { errorCode } from '../../core/errors.js';
import { err, ok, type Result } from '../../core/result.js';
import type { Ask, SourceAnswer } from './source.js';

const MAX_ANSWER_BYTES = 1_048_576;
/** From the first packet to the last byte. */
const ANSWER_MS = 10_000;

/** Asks with what `context` trusts. */
export function askOverTls(context: SecureContext): Ask {
  return ({ method, url, headers, body }, signal) =>
    new Promise(resolve => {
      const deadline = AbortSignal.timeout(ANSWER_MS);
      const request = https.request(url, {
        method,
        headers: { ...Object.fromEntries(headers), 'content-length': String(Buffer.byteLength(body)) },
        agent: new https.Agent({ maxCachedSessions: 0 }),
        secureContext: context,
        rejectUnauthorized: true,
        checkServerIdentity: (host: string, { raw }: { raw: Buffer }) => identityFault(host, raw),
        signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
      } as https.RequestOptions);
      request.on('error', error =>
        resolve(
          err(deadline.aborted ? 'did not answer in time' : `could not be asked (${errorCode(error)})`),
        ),
      );
      request.on('response', response => {
        collect(response).then(
          text => resolve(text === null ? err('answered too much') : answer(response.statusCode ?? 0, text)),
          (error: unknown) => resolve(err(`broke off its answer (${errorCode(error)})`)),
        );
      });
      request.end(body);
    });
}

function answer(status: number, body: string): Result<SourceAnswer, string> {
  return ok({ status, body });
}

function identityFault(host: string, raw: Buffer): Error | undefined {
  const certificate = new X509Certificate(raw);
  const named =
    isIP(host) === 0
      ? certificate.checkHost(host, { subject: 'never', partialWildcards: false })
      : certificate.checkIP(host);
  if (named !== undefined) return undefined;
  return Object.assign(new Error('its certificate names another host'), { code: 'WRONG_NAME' });
}

/** Null: it is longer than any answer has to be. */
async function collect(stream: AsyncIterable<Buffer>): Promise<string | null> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of stream) {
    length += piece.length;
    if (length > MAX_ANSWER_BYTES) return null;
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

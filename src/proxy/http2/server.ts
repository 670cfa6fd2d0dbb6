/**
 * The sandbox's side of HTTP/2 (RFC 9113): one connection inside an intercepted handshake.
 *
 * Frames and header blocks are read by our own strict code: `docs/decisions/0005-http2-reader.md` has the reasons and
 * the numbers.
 */
import type { Duplex } from 'node:stream';
import { systemClock } from '../../core/clock.js';
import { HTTP2_LIMITS, type Http2Options } from './options.js';
import { Session } from './session.js';

export type { Http2Limits, Http2Options } from './options.js';

/** Serves `socket`, whose first bytes are the client's preface, to its end. Resolves when it is closed. */
export function serveHttp2(socket: Duplex, options: Http2Options): Promise<void> {
  const limits = { ...HTTP2_LIMITS, ...options.limits };
  return new Session(socket, options, limits, options.clock ?? systemClock).run();
}

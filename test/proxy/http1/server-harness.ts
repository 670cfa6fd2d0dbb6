/** Handlers and answers for the server side's tests. */
import { Readable } from 'node:stream';
import type { Answer, Exchange } from '../../../src/proxy/exchange.js';
import type { ServerOptions } from '../../../src/proxy/http1/server.js';
import { answer, facts } from './harness.js';

export const FACTS = facts('transparent', 'allowed.test');
export const GET = 'GET /p HTTP/1.1\r\nHost: allowed.test\r\n\r\n';

/** A server whose handler is `onExchange`. */
export function handler(
  onExchange: (exchange: Exchange) => Promise<void>,
  more: Partial<ServerOptions> = {},
): ServerOptions {
  return {
    ...FACTS,
    onExchange,
    onFault: ({ code }) => Buffer.from(JSON.stringify({ reason: code })),
    ...more,
  };
}

export function responder(given: Answer | (() => Answer)): ServerOptions {
  return handler(exchange => exchange.respond(typeof given === 'function' ? given() : given));
}

export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(resolve => setTimeout(resolve, 2));
}

export function streamed(
  parts: readonly string[],
  more: Partial<Answer['head']> = {},
  trailers: Answer['trailers'] = () => [],
): Answer {
  const body = Readable.from(
    parts.map(part => Buffer.from(part)),
    { objectMode: false },
  );
  return answer(200, '', { head: { framing: { kind: 'chunked' }, ...more }, body, trailers });
}

export function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => {};
  const promise = new Promise<void>(settle => {
    resolve = settle;
  });
  return { promise, resolve };
}

export const GET10 = 'GET /p HTTP/1.0\r\nHost: allowed.test\r\n\r\n';

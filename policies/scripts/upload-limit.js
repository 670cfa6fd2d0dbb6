/// <reference path="../../types/policy-script.d.ts" />
// @ts-check
// Nothing large leaves: a request says how long its content is, and it is at most so long; and all that a sandbox has
// sent is at most so much.

const MOST_BYTES = 65_536;
const MOST_IN_ALL = 1_048_576;

/** @type {PolicyScript.OnRequest} */
export function onRequest({ bodyBytes }) {
  if (bodyBytes === null) return { deny: 'an upload says how long it is (Content-Length)' };
  if (bodyBytes > MOST_BYTES)
    return { deny: `an upload of ${bodyBytes} bytes; at most ${MOST_BYTES} are allowed` };
  const sent = Number(state.sent ?? 0) + bodyBytes;
  if (sent > MOST_IN_ALL)
    return { deny: `${MOST_IN_ALL} bytes have been sent: that is all for this sandbox` };
  state.sent = sent;
  return { allow: true };
}

/** What is sent over a WebSocket counts too. @type {PolicyScript.OnMessage} */
export function onMessage({ direction, bytes }) {
  if (direction === 'received') return { pass: true };
  const sent = Number(state.sent ?? 0) + bytes;
  state.sent = sent;
  return sent > MOST_IN_ALL ? { deny: `${MOST_IN_ALL} bytes have been sent` } : { pass: true };
}

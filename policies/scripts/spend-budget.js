/// <reference path="../../types/policy-script.d.ts" />
// @ts-check
// A budget for an LLM API, in tokens for each sandbox: every answer's `usage` is counted, and when the budget is spent,
// no request leaves any more. What is on its way is paid for all the same, so that the budget can be passed by one answer.
//
// Rules beside it: allow_domain: [{ domain: api.example.com, script_body: 1MiB }]

const BUDGET = 100_000;

/** @type {PolicyScript.OnRequest} */
export function onRequest() {
  const spent = Number(state.spent ?? 0);
  if (spent >= BUDGET) return { deny: `the budget of ${BUDGET} tokens is spent (${spent})` };
  return { allow: true };
}

/** An answer that is whole. @type {PolicyScript.OnResponse} */
export function onResponse({ status, headers, body, bodyOmitted }) {
  if (bodyOmitted === 'stream') return { pass: true }; // Each event is counted below.
  if (status >= 300 || !/\bjson\b/.test(headers['content-type'] ?? '')) return { pass: true };
  if (body === undefined) return { deny: `an answer that cannot be counted (${bodyOmitted})` };
  count(body);
  return { pass: true };
}

/** One event of a stream. @type {PolicyScript.OnMessage} */
export function onMessage({ direction, text }) {
  if (direction === 'received' && text !== undefined) count(text);
  return { pass: true };
}

/** Adds what an answer or an event says was used. A stream that tells a running total is counted too high, not too low. */
function count(/** @type {string} */ text) {
  if (!text.includes('"usage"')) return;
  const { usage, message } = JSON.parse(text);
  const { input_tokens, output_tokens, prompt_tokens, completion_tokens } = usage ?? message?.usage ?? {};
  const input = input_tokens ?? prompt_tokens ?? 0;
  const output = output_tokens ?? completion_tokens ?? 0;
  if (!Number.isFinite(input) || !Number.isFinite(output)) throw new TypeError('usage is not in numbers');
  state.spent = Number(state.spent ?? 0) + input + output;
  log(`${input + output} tokens, ${state.spent} of ${BUDGET}`);
}

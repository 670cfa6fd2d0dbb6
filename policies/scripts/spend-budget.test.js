/// <reference path="../../types/policy-script.d.ts" />
// @ts-check
const request = { method: 'POST', url: 'https://api.example.com/v1/messages', body: '{}' };
const json = { 'Content-Type': 'application/json' };
const usage = (/** @type {number} */ input, /** @type {number} */ output) =>
  JSON.stringify({ usage: { input_tokens: input, output_tokens: output } });

example(request).allows();
example.onResponse({ headers: json, body: usage(40_000, 9_000), request }).passes();
example(request).allows();

// A stream: its head is not counted, its events are.
example
  .onResponse({ headers: { 'Content-Type': 'text/event-stream' }, bodyOmitted: 'stream', request })
  .passes();
example
  .onMessage({ text: '{"type":"message_start","message":{"usage":{"input_tokens":1000}}}', request })
  .passes();
example.onMessage({ text: '{"type":"content_block_delta","delta":{"text":"hi"}}', request }).passes();
example.onMessage({ text: '{"usage":{"prompt_tokens":0,"completion_tokens":50000}}', request }).passes();
example(request).denies('the budget of 100000 tokens is spent (100000)');

// Another sandbox has its own.
example.fresh();
example(request).allows();
example.onResponse({ headers: json, bodyOmitted: 'too-long', request }).denies('cannot be counted');
example
  .onResponse({ headers: json, body: '{"usage":{"input_tokens":"many"}}', request })
  .fails('script-error');
example.onResponse({ status: 429, headers: json, body: '{}', request }).passes();

/// <reference path="../../types/policy-script.d.ts" />
// @ts-check
// An API whose JSON answers tell more in their headers than a sandbox needs to know: whose account it is, and which
// machine answered. Cookies do not come in at all.

const TELLING = ['x-account-email', 'x-account-id', 'x-served-by'];

/** @type {PolicyScript.OnResponse} */
export function onResponse({ headers }) {
  if (!/\bjson\b/.test(headers['content-type'] ?? '')) return { pass: true };
  /** @type {Record<string, string | null>} */
  const changes = { 'Set-Cookie': null };
  for (const name of TELLING) if (headers[name] !== undefined) changes[name] = 'redacted';
  return { rewrite: { headers: changes } };
}

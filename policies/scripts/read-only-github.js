/// <reference path="../../types/policy-script.d.ts" />
// @ts-check
// GitHub, to read only: the REST API by GET, and git to clone and fetch. Nothing is pushed, opened or commented on.
//
// Rules beside it: allow_domain: [api.github.com, github.com, codeload.github.com, raw.githubusercontent.com]

const READS = ['GET', 'HEAD', 'OPTIONS'];

/** @type {PolicyScript.OnRequest} */
export function onRequest({ method, host, path, query }) {
  if (host === 'github.com') return git(method, path, query);
  if (!READS.includes(method)) return { deny: `GitHub is read only here: no ${method}` };
  return { allow: true };
}

/** git asks with GET what a service has, and speaks to it with POST; `git-upload-pack` is what a clone needs. */
function git(/** @type {string} */ method, /** @type {string} */ path, /** @type {string} */ query) {
  if (path.endsWith('/git-receive-pack') || /(^|&)service=git-receive-pack(&|$)/.test(query)) {
    return { deny: 'GitHub is read only here: no push' };
  }
  if (READS.includes(method) || (method === 'POST' && path.endsWith('/git-upload-pack'))) {
    return /** @type {const} */ ({ allow: true });
  }
  return { deny: `GitHub is read only here: no ${method}` };
}

/// <reference path="../../types/policy-script.d.ts" />
// @ts-check
// Packages are fetched and nothing else: GET and HEAD, without a content, from registries, and no look-up of a name
// that carries data in its labels.
//
// Rules beside it: allow_domain: [registry.npmjs.org, pypi.org, files.pythonhosted.org, index.crates.io, static.crates.io]
import { isRegistry } from './registries.js';

const LONGEST_NAME = 64;

/** @type {PolicyScript.OnResolve} */
export function onResolve({ name }) {
  if (!isRegistry(name)) return { deny: `${name} is no package registry` };
  return { allow: true };
}

/** @type {PolicyScript.OnConnect} */
export function onConnect({ host, port }) {
  if (host === null || !isRegistry(host)) return { deny: 'only package registries are reached' };
  return port === 443 ? { allow: true } : { deny: `registries are reached by HTTPS, not on port ${port}` };
}

/** @type {PolicyScript.OnRequest} */
export function onRequest({ method, host, path, query, bodyBytes }) {
  if (!isRegistry(host)) return { deny: `${host} is no package registry` };
  if (method !== 'GET' && method !== 'HEAD') return { deny: `a registry is read: no ${method}` };
  if (bodyBytes !== 0) return { deny: 'a registry is read: no content' };
  const longest = Math.max(...path.split('/').map(part => part.length));
  if (query.length > LONGEST_NAME || longest > 3 * LONGEST_NAME)
    return { deny: 'longer than any package is called' };
  return { allow: true };
}

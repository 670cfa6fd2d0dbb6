/// <reference path="../../types/policy-script.d.ts" />
// @ts-check
// Production is touched while people are there to see it: Monday to Friday, 9 to 17 o'clock, UTC. Reading is always
// allowed.
//
// Rules beside it: allow_domain: [api.production.example.com, api.staging.example.com]

const READS = ['GET', 'HEAD'];

/** @type {PolicyScript.OnRequest} */
export function onRequest({ method, host }) {
  if (!host.includes('.production.') || READS.includes(method)) return { allow: true };
  const time = new Date(now());
  const day = time.getUTCDay();
  const hour = time.getUTCHours();
  if (day >= 1 && day <= 5 && hour >= 9 && hour < 17) return { allow: true };
  return { deny: 'production is changed Monday to Friday, 9 to 17 UTC' };
}

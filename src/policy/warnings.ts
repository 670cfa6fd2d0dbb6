/** What an operator should know about a policy that compiles: one sentence each, with its rule. Pure. */

import { addressFromBytes } from '../core/address.js';
import { patternText } from './pattern.js';
import type { CidrRule, DomainRule, PolicyDocument, PolicyMode } from './policy.js';
import { classifyAddress, isPrivateBlock } from './special.js';

export function warnings(layers: readonly PolicyDocument[], mode: PolicyMode): readonly string[] {
  const allow = layers.flatMap(layer => layer.allowDomain);
  const rules = layers.flatMap(layer => [
    ...layer.allowDomain,
    ...layer.denyDomain,
    ...layer.allowCidr,
    ...layer.denyCidr,
  ]);
  return [
    ...(mode === 'shadow' ? [SHADOW_WARNING] : []),
    ...allow
      .filter(isShared)
      .map(({ label, host }) => `${label}: anybody can have a name under ${patternText(host)}`),
    ...rules
      .filter(rule => rule.protocol === 'udp')
      .map(({ label }) => `${label}: UDP is not carried; the rule does nothing`),
    ...layers
      .flatMap(layer => layer.allowCidr)
      .filter(isDead)
      .map(deadCidr),
    ...layers.flatMap(layer => [...secretsOverHttp(layer)]),
    ...layers
      .filter(layer => layer.allowMetadata)
      .map(({ source }) => `${source}: allow_metadata opens the cloud's metadata service`),
  ];
}

/** Said at the start of every run, too. */
export const SHADOW_WARNING =
  'mode: shadow enforces no rule: what the rules refuse passes, and its events say would_deny';

function* secretsOverHttp({ secrets }: PolicyDocument): Generator<string> {
  for (const { label, allowHttp } of secrets) {
    if (allowHttp) yield `${label}: allow_http sends the value where anybody on the way can read it`;
  }
}

/** An allowed block of special-purpose addresses that no CIDR rule can lift. */
function isDead({ block }: CidrRule): boolean {
  if (block.prefix < 8 || isPrivateBlock(block)) return false;
  return (
    classifyAddress(addressFromBytes(block.bytes)).kind !== 'global' &&
    block.prefix >= (block.family === 4 ? 15 : 32)
  );
}

function deadCidr({ label, block }: CidrRule): string {
  const { kind, block: name } = classifyAddress(addressFromBytes(block.bytes));
  const lift =
    kind === 'metadata'
      ? 'allow_metadata: true'
      : kind === 'loopback'
        ? 'add_hosts'
        : 'block_private_ips: false';
  return `${label}: ${block.text} is ${name}; only ${lift} lifts it`;
}

function isShared({ host }: DomainRule): boolean {
  return host.kind === 'below' && (!host.suffix.includes('.') || SHARED_SUFFIXES.has(host.suffix));
}

/** Suffixes under which strangers register or are given names; the whole list is publicsuffix.org's. */
const SHARED_SUFFIXES: ReadonlySet<string> = new Set([
  ...[
    'co.uk',
    'org.uk',
    'com.au',
    'com.br',
    'com.cn',
    'co.jp',
    'co.nz',
    'co.in',
    'co.kr',
    'co.za',
    'com.mx',
    'com.tr',
  ],
  ...[
    'github.io',
    'gitlab.io',
    'githubusercontent.com',
    'pages.dev',
    'workers.dev',
    'r2.dev',
    'vercel.app',
    'netlify.app',
  ],
  ...[
    'herokuapp.com',
    'fly.dev',
    'onrender.com',
    'web.app',
    'firebaseapp.com',
    'appspot.com',
    'run.app',
    'surge.sh',
  ],
  ...[
    'amazonaws.com',
    's3.amazonaws.com',
    'cloudfront.net',
    'elasticbeanstalk.com',
    'storage.googleapis.com',
  ],
  ...[
    'azurewebsites.net',
    'blob.core.windows.net',
    'cloudapp.azure.com',
    'azureedge.net',
    'trafficmanager.net',
  ],
  ...[
    'ngrok.io',
    'ngrok.app',
    'ngrok-free.app',
    'trycloudflare.com',
    'loca.lt',
    'serveo.net',
    'nip.io',
    'sslip.io',
  ],
  ...[
    'repl.co',
    'replit.app',
    'glitch.me',
    'deno.dev',
    'hf.space',
    'readthedocs.io',
    'blogspot.com',
    'wordpress.com',
  ],
]);

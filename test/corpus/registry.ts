/** Which adapter asks the cases of which corpus file, by the file's `meta.name`. */
import type { CorpusAdapter } from '../support/corpus/case.js';
import { dnsAdapter } from '../support/corpus/dns-cases.js';
import { eventAdapter } from '../support/corpus/event-cases.js';
import { frameAdapter } from '../support/corpus/frame-cases.js';
import { h2Adapter } from '../support/corpus/h2-adapter.js';
import { domainAdapter, ssrfAdapter } from '../support/corpus/policy-adapter.js';
import { responseAdapter } from '../support/corpus/response-adapter.js';
import { scriptAdapter } from '../support/corpus/script-cases.js';
import { secretAdapter } from '../support/corpus/secret-adapter.js';
import { smugglingAdapter } from '../support/corpus/smuggling-adapter.js';
import { sniAdapter } from '../support/corpus/sni-adapter.js';

type Entry = CorpusAdapter | { readonly reason: string };

const ADAPTERS: ReadonlyMap<string, Entry> = new Map<string, Entry>([
  ['dns', dnsAdapter],
  ['domain-match', domainAdapter],
  ['ssrf-hosts', ssrfAdapter],
  ['events', eventAdapter],
  ['sni', sniAdapter],
  ['h2', h2Adapter],
  ['responses', responseAdapter],
  ['secrets', secretAdapter],
  ['smuggling', smugglingAdapter],
  ['scripts', scriptAdapter],
  ['frames', frameAdapter],
]);

export function adapterFor(name: string): Entry {
  return ADAPTERS.get(name) ?? { reason: `no adapter for '${name}'` };
}

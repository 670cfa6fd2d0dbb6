/** Which adapter asks the cases of which corpus file, by the file's `meta.name`. */
import type { CorpusAdapter } from '../support/corpus/case.js';
import { eventAdapter } from '../support/corpus/event-cases.js';

type Entry = CorpusAdapter | { readonly reason: string };

const LATER = 'its part of the gateway is not there yet';

const ADAPTERS: ReadonlyMap<string, Entry> = new Map<string, Entry>([
  ['events', eventAdapter],
  ['scripts', { reason: LATER }],
  ['frames', { reason: LATER }],
]);

export function adapterFor(name: string): Entry {
  return ADAPTERS.get(name) ?? { reason: `no adapter for '${name}'` };
}

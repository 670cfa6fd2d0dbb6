import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CorpusFile } from '../support/corpus/case.js';
import { dnsAdapter } from '../support/corpus/dns-cases.js';

test('every case of dns.json that needs no inner door goes as its corpus expects', async () => {
  const path = join(__dirname, '..', 'corpus', 'dns.json');
  const file: CorpusFile = JSON.parse(readFileSync(path, 'utf8'));
  const session = await dnsAdapter.open(file);
  const wrong: unknown[] = [];
  const skippedIds: string[] = [];
  for (const corpusCase of file.cases) {
    const outcome = await session.run(corpusCase);
    if (outcome.kind === 'failed') wrong.push([corpusCase.id, corpusCase.note, outcome]);
    if (outcome.kind === 'skipped') skippedIds.push(String(corpusCase.scenario));
  }
  expect(await session.sentinel?.()).toBe(true);
  await session.close();
  expect(wrong).toEqual([]);
  expect(skippedIds).toEqual(expect.arrayContaining([expect.stringMatching(/^UDP|^mDNS|spoofs/)]));
  expect(skippedIds.length).toBeLessThanOrEqual(4);
});

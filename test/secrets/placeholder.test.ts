import fc from 'fast-check';
import {
  emitLedgerLine,
  isPlaceholder,
  mintPlaceholder,
  PLACEHOLDER_LENGTH,
  parseLedger,
  whose,
} from '../../src/secrets/placeholder.js';
import { KEY } from './fixtures.js';

const SEED = { seed: 20_261 };
const OWNER = { run: 'run-1', sandbox: 'vm-1', secret: 'TOKEN' };
const owners = fc.record({ run: fc.string(), sandbox: fc.string(), secret: fc.string() });

test('a placeholder has one length and an alphabet that is safe everywhere', () => {
  const placeholder = mintPlaceholder(KEY, OWNER);
  expect(placeholder).toMatch(/^GWPH_[0-9a-f]{32}$/);
  expect(placeholder).toHaveLength(PLACEHOLDER_LENGTH);
  expect(encodeURIComponent(placeholder)).toBe(placeholder);
});

test('a placeholder differs by run, sandbox, secret and key', () => {
  const all = [
    mintPlaceholder(KEY, OWNER),
    mintPlaceholder(KEY, { ...OWNER, run: 'run-2' }),
    mintPlaceholder(KEY, { ...OWNER, sandbox: 'vm-2' }),
    mintPlaceholder(KEY, { ...OWNER, secret: 'OTHER' }),
    mintPlaceholder(KEY, { run: 'run-1v', sandbox: 'm-1', secret: 'TOKEN' }),
    mintPlaceholder(new Uint8Array(32).fill(8), OWNER),
  ];
  expect(new Set(all).size).toBe(all.length);
});

test('whose finds the owner in a ledger, and nobody without the key', () => {
  fc.assert(
    fc.property(fc.array(owners, { minLength: 1, maxLength: 8 }), fc.nat(), (ledger, pick) => {
      const owner = ledger[pick % ledger.length] ?? OWNER;
      const placeholder = mintPlaceholder(KEY, owner);
      expect(isPlaceholder(placeholder)).toBe(true);
      expect(whose(placeholder, KEY, ledger)).toEqual(owner);
      expect(whose(placeholder, new Uint8Array(32), ledger)).toBeNull();
    }),
    SEED,
  );
});

test('a ledger reads back as it was written, whatever the names', () => {
  fc.assert(
    fc.property(fc.array(owners), ledger => {
      expect(parseLedger(ledger.map(owner => `${emitLedgerLine(owner)}\n`).join(''))).toEqual(ledger);
    }),
    SEED,
  );
});

test('parseLedger leaves out what is cut short or not a line of it, and never throws', () => {
  const line = emitLedgerLine(OWNER);
  expect(parseLedger(`${line}\nnull\n[]\n{"run":1}\n${line.slice(0, -5)}`)).toEqual([OWNER]);
  fc.assert(
    fc.property(fc.string(), text => Array.isArray(parseLedger(text))),
    SEED,
  );
});

/**
 * Placeholders: what a sandbox holds in place of a value. `GWPH_` and 32 lower-case hexadecimal digits, which stand
 * unchanged in a header field, a URL, a cookie, a DNS label, JSON and XML.
 *
 * Pure. The digits are HMAC-SHA-256 over (run, sandbox, secret), cut to 128 bits: nobody without the key can guess
 * one or make one, and who has the key and the ledger can say for whom it was made.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export const PLACEHOLDER_PREFIX = 'GWPH_';
/** Characters of every placeholder: none is the beginning of another. */
export const PLACEHOLDER_LENGTH = PLACEHOLDER_PREFIX.length + 32;

/** For whom a placeholder was made. */
export interface PlaceholderOwner {
  /** One life of the gateway: placeholders do not outlive it. */
  readonly run: string;
  readonly sandbox: string;
  readonly secret: string;
}

const SHAPE = /^GWPH_[0-9a-f]{32}$/;

export function isPlaceholder(text: string): boolean {
  return SHAPE.test(text);
}

/** `key`: 32 random bytes that the caller keeps in the state folder, mode 0600. */
export function mintPlaceholder(key: Uint8Array, owner: PlaceholderOwner): string {
  return PLACEHOLDER_PREFIX + tag(key, owner).toString('hex');
}

/** The owner of `placeholder` among those of the ledger, or null: not made with this key, or not in the ledger. */
export function whose(
  placeholder: string,
  key: Uint8Array,
  ledger: Iterable<PlaceholderOwner>,
): PlaceholderOwner | null {
  if (!isPlaceholder(placeholder)) return null;
  const wanted = Buffer.from(placeholder.slice(PLACEHOLDER_PREFIX.length), 'hex');
  for (const owner of ledger) if (timingSafeEqual(tag(key, owner), wanted)) return owner;
  return null;
}

/** One line of the ledger, without its newline: names only, so it may be kept and copied. */
export function emitLedgerLine({ run, sandbox, secret }: PlaceholderOwner): string {
  return JSON.stringify({ run, sandbox, secret });
}

/** Reads a ledger. A line cut short by a crash, or not ours, is left out: it can only make `whose` answer null. */
export function parseLedger(text: string): PlaceholderOwner[] {
  const owners: PlaceholderOwner[] = [];
  for (const line of text.split('\n')) {
    const owner = parseLine(line);
    if (owner !== null) owners.push(owner);
  }
  return owners;
}

function parseLine(line: string): PlaceholderOwner | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    // Not JSON: the last line of a ledger whose writer was killed.
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { run, sandbox, secret } = value as Record<string, unknown>;
  if (typeof run !== 'string' || typeof sandbox !== 'string' || typeof secret !== 'string') return null;
  return { run, sandbox, secret };
}

function tag(key: Uint8Array, { run, sandbox, secret }: PlaceholderOwner): Buffer {
  // JSON keeps the three apart: ('ab', 'c') and ('a', 'bc') are different texts.
  const text = JSON.stringify(['placeholder', run, sandbox, secret]);
  return createHmac('sha256', key).update(text).digest().subarray(0, 16);
}

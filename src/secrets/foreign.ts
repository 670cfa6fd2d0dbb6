/**
 * Placeholders of other sandboxes in content that arrives in pieces. They are worthless here, but somebody carried them
 * over. They are looked for as they are, which costs next to nothing, and only while another sandbox has any.
 *
 * Pure.
 */
import { PLACEHOLDER_LENGTH, PLACEHOLDER_PREFIX } from './placeholder.js';
import type { Leak } from './scan.js';
import type { SandboxSecrets } from './store.js';
import { placeholdersIn } from './swap.js';

const NOTHING = Buffer.alloc(0);
/** So many bytes of a placeholder may have come before the rest. */
const CARRIED = PLACEHOLDER_LENGTH - 1;

/** The first one in a piece of text, one character a byte. */
export function foreignIn(secrets: SandboxSecrets, text: string, place: string): Leak | null {
  for (const placeholder of placeholdersIn(text)) {
    const owner = secrets.foreignOwner(placeholder);
    if (owner !== null) return { secret: owner.secret, place, encoding: 'plain', reason: 'foreign', owner };
  }
  return null;
}

/** Holds nothing back: the piece in which a placeholder ends is the one that must not go on. */
export class ForeignScanner {
  readonly #secrets: SandboxSecrets;
  readonly #place: string;
  #tail: Buffer = NOTHING;

  constructor(secrets: SandboxSecrets, place: string) {
    this.#secrets = secrets;
    this.#place = place;
  }

  push(chunk: Uint8Array): Leak | null {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const border = Buffer.concat([this.#tail, bytes.subarray(0, CARRIED)]);
    const last = bytes.length < CARRIED ? border : bytes;
    this.#tail = Buffer.from(last.subarray(Math.max(0, last.length - CARRIED)));
    return this.#in(border) ?? this.#in(bytes);
  }

  #in(bytes: Buffer): Leak | null {
    const at = bytes.indexOf(PLACEHOLDER_PREFIX, 0, 'latin1');
    return at < 0 ? null : foreignIn(this.#secrets, bytes.toString('latin1', at), this.#place);
  }
}

/** Null: no other sandbox has a placeholder that could be found. */
export function foreignScanner(secrets: SandboxSecrets, place: string): ForeignScanner | null {
  return secrets.mayMeetForeign() ? new ForeignScanner(secrets, place) : null;
}

/**
 * The messages of a WebSocket: searched and filled in on their way out, redacted on their way back.
 *
 * Each message is a content of its own; a match that spans two of them is found too, when its last byte comes. What is
 * redacted is redacted message by message.
 */
import { mayLeak } from './content.js';
import { DecodedScanner } from './decoded.js';
import { type ForeignScanner, foreignScanner } from './foreign.js';
import { allowsKind } from './place.js';
import { redactWhole } from './redact.js';
import { BodyScanner, type Leak, type LeakReason } from './scan.js';
import { revealWire } from './secret.js';
import type { Entry, SandboxSecrets } from './store.js';
import type { Departing } from './substitute.js';
import { swapPlaceholders } from './swap.js';

/** `control`: a ping, a pong or the reason of a close. Only text is ever filled in. */
export type MessageKind = 'text' | 'binary' | 'control';

export interface OutgoingMessage {
  /** What may leave: `payload` itself where nothing was swapped. */
  readonly payload: Uint8Array;
  /** Nothing of this message, and nothing after it, may leave. */
  readonly leak: Leak | null;
}

const PLACE = 'websocket';

export class DialogueGuard {
  readonly #secrets: SandboxSecrets;
  readonly #departing: Departing;
  readonly #used: Map<string, number>;
  /** Sees all messages as one content. Null: nothing may leak. */
  readonly #scanner: BodyScanner | null;
  readonly #foreign: ForeignScanner | null;

  constructor(secrets: SandboxSecrets, departing: Departing) {
    this.#secrets = secrets;
    this.#departing = departing;
    this.#used = new Map(departing.counts);
    const watched = mayLeak(secrets, departing.scope);
    this.#foreign = foreignScanner(secrets, PLACE);
    this.#scanner = watched ? new BodyScanner(secrets.watch, departing.scope, PLACE) : null;
  }

  /** Names of the secrets that the handshake and the messages held so far. */
  get used(): readonly string[] {
    return [...this.#used.keys()];
  }

  /** From the sandbox. Calls must not overlap. */
  async outgoing(kind: MessageKind, payload: Uint8Array): Promise<OutgoingMessage> {
    const leak = (await this.#search(payload)) ?? this.#foreign?.push(payload) ?? null;
    return leak === null ? this.#fill(kind, payload) : { payload, leak };
  }

  /** From the upstream: `payload` itself where no value stands in it. */
  incoming(payload: Uint8Array): Uint8Array {
    const { redact } = this.#departing;
    return redact.length === 0 ? payload : redactWhole(this.#secrets, redact, payload);
  }

  async #search(payload: Uint8Array): Promise<Leak | null> {
    if (this.#scanner === null || payload.length === 0) return null;
    const { leak } = this.#scanner.push(payload);
    if (leak !== null) return leak;
    const decoded = new DecodedScanner(this.#secrets.watch, this.#departing.scope, [], {
      place: PLACE,
    });
    try {
      return (await decoded.push(payload)) ?? (await decoded.end());
    } finally {
      decoded.close();
    }
  }

  #fill(kind: MessageKind, payload: Uint8Array): OutgoingMessage {
    const text = wireText(payload);
    let leak: Leak | null = null;
    const filled = swapPlaceholders(text, placeholder => {
      const entry = this.#secrets.byPlaceholder.get(placeholder);
      // Out of scope was a leak already: what is not known here is nobody's.
      if (entry === undefined || !this.#departing.scope.allowed.has(entry.name)) return null;
      if (kind === 'text' && allowsKind(entry.places, 'websocket')) {
        if (!this.#mayUse(entry)) leak ??= leakOf(entry, 'too-many');
        return revealWire(entry.secret);
      }
      if (entry.pinned) leak ??= leakOf(entry, 'forbidden-place');
      return null;
    });
    if (leak !== null || filled === text) return { payload, leak };
    return { payload: Buffer.from(filled, 'latin1'), leak: null };
  }

  #mayUse({ name, maxOccurrences }: Entry): boolean {
    const count = (this.#used.get(name) ?? 0) + 1;
    this.#used.set(name, count);
    return maxOccurrences === null || count <= maxOccurrences;
  }
}

/** Null: nothing in these messages can leak, be filled in or be redacted; they may pass unread. */
export function guardDialogue(secrets: SandboxSecrets, departing: Departing): DialogueGuard | null {
  const { scope, redact } = departing;
  const meets = secrets.mayMeetForeign();
  if (secrets.empty && !meets) return null;
  const concerned = meets || redact.length > 0 || scope.allowed.size > 0 || mayLeak(secrets, scope);
  return concerned ? new DialogueGuard(secrets, departing) : null;
}

function leakOf({ name }: Entry, reason: LeakReason): Leak {
  return { secret: name, place: PLACE, encoding: 'plain', reason };
}

function wireText(payload: Uint8Array): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('latin1');
}

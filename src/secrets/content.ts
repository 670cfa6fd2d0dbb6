/**
 * A request's content on its way out: searched as it is and as it decodes, then filled in.
 *
 * What may not leave ends the request: after a leak nothing more goes on, and bytes that may be the beginning of a
 * match are held until it is known. A declared coding that cannot be undone within bounds is refused, because nobody
 * can say what it holds; one that is only guessed from the first bytes is searched as far as it can be.
 */
import { firstHeader, type HeaderList, headerValues } from '../core/headers.js';
import { DecodedScanner } from './decoded.js';
import { BodyFiller, contentKind } from './fill.js';
import { foreignScanner } from './foreign.js';
import { type ContentCoding, parseCodings } from './inflate.js';
import { allowsContent } from './place.js';
import { BodyScanner, type ScanStep, type Scope } from './scan.js';
import type { SandboxSecrets } from './store.js';
import type { Departing } from './substitute.js';
import { NO_WATCH } from './watch.js';

/** What the corridor pushes a request's content through. After a leak it must send nothing more. */
export interface ContentGuard {
  /** The content's length may change: frame it anew. */
  readonly resizes: boolean;
  push(chunk: Uint8Array): Promise<ScanStep>;
  /** The last bytes, or the leak that only the end shows. */
  end(): Promise<ScanStep>;
  /** Names of the secrets that the request holds so far. */
  readonly used: readonly string[];
  /** Frees a decoder; may be called at any time. */
  close(): void;
}

/** `headers` describe the content. Null: nothing in it can leak or be filled in; it may pass untouched. */
export function guardContent(
  secrets: SandboxSecrets,
  { scope, counts }: Departing,
  headers: HeaderList,
): ContentGuard | null {
  const codings = parseCodings(headerValues(headers, 'content-encoding').join(','));
  const searched = mayLeak(secrets, scope) || secrets.mayMeetForeign();
  const searcher = searched ? new Searcher(secrets, scope, codings ?? []) : null;
  const plain = codings !== null && codings.length === 0;
  const filler =
    plain && mayFill(secrets, scope)
      ? new BodyFiller(secrets, scope, contentKind(firstHeader(headers, 'content-type')), counts)
      : null;
  if (searcher === null && filler === null) return null;
  return new Guard(searcher, filler, [...counts.keys()]);
}

/** Something may stand in this request's content or trailers that must not leave with it. */
export function mayLeak({ settled, entries }: SandboxSecrets, { allowed }: Scope): boolean {
  if (!settled) return true;
  for (const name of entries.keys()) if (!allowed.has(name)) return true;
  return false;
}

/** A pinned secret is looked for even where it may not stand: to refuse it there. */
function mayFill({ entries }: SandboxSecrets, { allowed }: Scope): boolean {
  for (const name of allowed) {
    const entry = entries.get(name);
    if (entry !== undefined && (entry.pinned || allowsContent(entry.places))) return true;
  }
  return false;
}

const NOTHING = new Uint8Array(0);

class Guard implements ContentGuard {
  readonly #searcher: Searcher | null;
  readonly #filler: BodyFiller | null;
  readonly #used: readonly string[];

  constructor(searcher: Searcher | null, filler: BodyFiller | null, used: readonly string[]) {
    this.#searcher = searcher;
    this.#filler = filler;
    this.#used = used;
  }

  get resizes(): boolean {
    return this.#filler !== null;
  }

  get used(): readonly string[] {
    return this.#filler?.used ?? this.#used;
  }

  async push(chunk: Uint8Array): Promise<ScanStep> {
    const step = this.#searcher === null ? { forward: chunk, leak: null } : await this.#searcher.push(chunk);
    if (step.leak !== null || this.#filler === null) return step;
    return this.#filler.push(step.forward);
  }

  async end(): Promise<ScanStep> {
    const step = this.#searcher === null ? { forward: NOTHING, leak: null } : await this.#searcher.end();
    if (step.leak !== null || this.#filler === null) return step;
    const filled = this.#filler.push(step.forward);
    if (filled.leak !== null) return filled;
    return { forward: Buffer.concat([filled.forward, this.#filler.end()]), leak: null };
  }

  close(): void {
    this.#searcher?.close();
  }
}

/** Searches the bytes as they are and as they decode; what either holds back does not go on. */
class Searcher {
  readonly #raw: BodyScanner;
  readonly #decoded: DecodedScanner;
  #withheld: Uint8Array[] = [];

  constructor(secrets: SandboxSecrets, scope: Scope, codings: readonly ContentCoding[]) {
    const watch = mayLeak(secrets, scope) ? secrets.watch : NO_WATCH;
    this.#raw = new BodyScanner(watch, scope, 'body', foreignScanner(secrets, 'body'));
    this.#decoded = new DecodedScanner(watch, scope, codings, { foreign: foreignScanner(secrets, 'body') });
  }

  async push(chunk: Uint8Array): Promise<ScanStep> {
    const step = this.#raw.push(chunk);
    if (step.leak !== null) return step;
    if (this.#decoded.idle) return step;
    const leak = await this.#decoded.push(chunk);
    if (leak !== null) return { forward: NOTHING, leak };
    this.#withheld.push(step.forward);
    return { forward: this.#decoded.holds ? NOTHING : this.#release(), leak: null };
  }

  async end(): Promise<ScanStep> {
    const leak = this.#decoded.idle ? null : await this.#decoded.end();
    if (leak !== null) return { forward: NOTHING, leak };
    this.#withheld.push(this.#raw.end());
    return { forward: this.#release(), leak: null };
  }

  #release(): Uint8Array {
    const pieces = this.#withheld;
    this.#withheld = [];
    const [only = NOTHING] = pieces;
    return pieces.length < 2 ? only : Buffer.concat(pieces);
  }

  close(): void {
    this.#decoded.close();
  }
}

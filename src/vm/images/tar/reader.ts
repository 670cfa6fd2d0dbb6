/**
 * Reads a tar archive piece by piece: ustar, pax and GNU's long names (POSIX.1-2017 pax; tar(5)).
 *
 * Pure, and strict: of two readings that other programs have, none is chosen. Sparse members, volumes and unknown types
 * are refused, and so is whatever follows the archive's end.
 */
import { err, ok, type Result } from '../../../core/result.js';
import { BLOCK, byteText, type TarEntry, type TarFault, type TarType } from './entry.js';
import { isZeroBlock, parseHeader, type RawHeader } from './header.js';
import { isHarmlessGlobal, type PaxFacts, parsePax } from './pax.js';

export type TarEvent =
  | { readonly type: 'entry'; readonly entry: TarEntry }
  /** Content of the entry before. A view into what was pushed. */
  | { readonly type: 'data'; readonly bytes: Uint8Array };

/** A path of the kernel is 4,096 bytes at most (PATH_MAX). */
const MAX_NAME = 4096;
/** Room for extended attributes, each of 64 KiB at most. */
const MAX_PAX = 1024 * 1024;

const TYPES: ReadonlyMap<string, TarType> = new Map([
  ['0', 'file'],
  ['\0', 'file'],
  ['1', 'hardlink'],
  ['2', 'symlink'],
  ['3', 'char'],
  ['4', 'block'],
  ['5', 'directory'],
  ['6', 'fifo'],
]);

/** What an extended header's content is for. */
type Extension = 'pax' | 'global' | 'name' | 'link';

const EXTENSIONS: ReadonlyMap<string, Extension> = new Map([
  ['x', 'pax'],
  ['g', 'global'],
  ['L', 'name'],
  ['K', 'link'],
]);

type State =
  | { readonly at: 'header' }
  | { readonly at: 'content' | 'padding'; left: number; readonly padding: number }
  | { readonly at: 'extension'; readonly kind: Extension; readonly size: number }
  | { readonly at: 'second-zero' }
  | { readonly at: 'end' };

export class TarReader {
  #state: State = { at: 'header' };
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #pax: PaxFacts | null = null;
  #longName: string | null = null;
  #longLink: string | null = null;
  #fault: TarFault | null = null;

  /** What `chunk` completes. After a fault every call gives the same fault. */
  push(chunk: Uint8Array): Result<readonly TarEvent[], TarFault> {
    const events: TarEvent[] = [];
    let rest = chunk;
    while (rest.length > 0 && this.#fault === null) rest = this.#take(rest, events);
    return this.#fault === null ? ok(events) : err(this.#fault);
  }

  /** The archive is over: whether it is whole. */
  end(): Result<null, TarFault> {
    if (this.#fault === null && this.#state.at !== 'end') this.#fault = 'truncated';
    return this.#fault === null ? ok(null) : err(this.#fault);
  }

  #take(rest: Uint8Array, events: TarEvent[]): Uint8Array {
    const state = this.#state;
    switch (state.at) {
      case 'content': {
        const bytes = rest.subarray(0, state.left);
        events.push({ type: 'data', bytes });
        return this.#pass(state, bytes.length, rest);
      }
      case 'padding':
        return this.#pass(state, Math.min(state.left, rest.length), rest);
      case 'end':
        if (!rest.every(byte => byte === 0)) this.#fault = 'trailing-data';
        return rest.subarray(rest.length);
      case 'header':
      case 'second-zero':
        return this.#whole(BLOCK, rest, block => this.#onBlock(block, events));
      case 'extension':
        return this.#whole(padded(state.size), rest, bytes => {
          this.#state = { at: 'header' };
          this.#extend(state.kind, bytes.subarray(0, state.size));
        });
    }
  }

  #pass(state: State & { left: number; padding: number }, bytes: number, rest: Uint8Array): Uint8Array {
    state.left -= bytes;
    if (state.left === 0) {
      this.#state = state.padding > 0 ? { at: 'padding', left: state.padding, padding: 0 } : { at: 'header' };
    }
    return rest.subarray(bytes);
  }

  /** Collects `length` bytes, across chunks, and gives them to `use`. */
  #whole(length: number, rest: Uint8Array, use: (bytes: Uint8Array) => void): Uint8Array {
    const part = rest.subarray(0, length - this.#heldBytes);
    if (part.length === length) {
      use(part);
    } else {
      this.#held.push(part.slice());
      this.#heldBytes += part.length;
      if (this.#heldBytes === length) {
        const bytes = Buffer.concat(this.#held);
        this.#held = [];
        this.#heldBytes = 0;
        use(bytes);
      }
    }
    return rest.subarray(part.length);
  }

  #onBlock(block: Uint8Array, events: TarEvent[]): void {
    if (this.#state.at === 'second-zero') {
      // One block of zeros ends nothing: what follows it is read by some and not by others.
      if (!isZeroBlock(block)) this.#fault = 'trailing-data';
      this.#state = { at: 'end' };
    } else if (isZeroBlock(block)) {
      if (this.#isExtended()) this.#fault = 'stray-header';
      this.#state = { at: 'second-zero' };
    } else {
      this.#onHeader(block, events);
    }
  }

  #onHeader(block: Uint8Array, events: TarEvent[]): void {
    const parsed = parseHeader(block);
    if (!parsed.ok) {
      this.#fault = parsed.error;
      return;
    }
    const header = parsed.value;
    const extension = EXTENSIONS.get(header.flag);
    if (extension !== undefined) this.#beginExtension(extension, header.size);
    else this.#onMember(header, events);
  }

  #onMember(header: RawHeader, events: TarEvent[]): void {
    const entry = this.#entryOf(header);
    if (typeof entry === 'string') {
      this.#fault = entry;
      return;
    }
    this.#pax = this.#longName = this.#longLink = null;
    events.push({ type: 'entry', entry });
    if (entry.size > 0) {
      this.#state = { at: 'content', left: entry.size, padding: padded(entry.size) - entry.size };
    }
  }

  #beginExtension(kind: Extension, size: number): void {
    const isName = kind === 'name' || kind === 'link';
    // A name's content ends with a NUL.
    if (size > (isName ? MAX_NAME + 1 : MAX_PAX)) this.#fault = 'too-long';
    else if (size === 0) this.#fault = isName ? 'bad-name' : 'bad-pax';
    else this.#state = { at: 'extension', kind, size };
  }

  #extend(kind: Extension, bytes: Uint8Array): void {
    if (kind === 'global') {
      if (!isHarmlessGlobal(bytes)) this.#fault = 'bad-pax';
    } else if (kind === 'pax') {
      const facts = parsePax(bytes);
      if (this.#pax !== null) this.#fault = 'stray-header';
      else if (facts.ok) this.#pax = facts.value;
      else this.#fault = facts.error;
    } else {
      const text = longText(bytes);
      const before = kind === 'name' ? this.#longName : this.#longLink;
      if (text === null) this.#fault = 'bad-name';
      else if (before !== null) this.#fault = 'stray-header';
      else if (kind === 'name') this.#longName = text;
      else this.#longLink = text;
    }
  }

  #isExtended(): boolean {
    return this.#pax !== null || this.#longName !== null || this.#longLink !== null;
  }

  #entryOf(header: RawHeader): TarEntry | TarFault {
    const pax = this.#pax;
    if (pax?.path !== undefined && this.#longName !== null) return 'stray-header';
    if (pax?.link !== undefined && this.#longLink !== null) return 'stray-header';
    const type = TYPES.get(header.flag);
    if (type === undefined) return 'bad-type';
    const name = pax?.path ?? this.#longName ?? header.name;
    const size = pax?.size ?? header.size;
    const isLink = type === 'symlink' || type === 'hardlink';
    const link = isLink ? (pax?.link ?? this.#longLink ?? header.link) : '';
    if (name === '' || name.length > MAX_NAME || (isLink && link === '')) return 'bad-name';
    if (link.length > MAX_NAME) return 'too-long';
    // Before POSIX a directory was a file whose name ended with a slash: still one reading too many.
    if (type === 'file' && name.endsWith('/')) return 'bad-type';
    if (type !== 'file' && size !== 0) return 'unexpected-content';
    return {
      ...{ name, type, mode: header.mode, size, link },
      uid: pax?.uid ?? header.uid,
      gid: pax?.gid ?? header.gid,
      mtime: pax?.mtime ?? header.mtime,
      device: { major: header.major, minor: header.minor },
      xattrs: pax?.xattrs ?? new Map(),
    };
  }
}

/** GNU's long name: text, ended by one NUL or more. */
function longText(bytes: Uint8Array): string | null {
  const [text = '', rest = ''] = splitAtNul(byteText(bytes));
  return text === '' || /[^\0]/.test(rest) ? null : text;
}

function splitAtNul(text: string): readonly [string, string] {
  const end = text.indexOf('\0');
  return end < 0 ? [text, ''] : [text.slice(0, end), text.slice(end)];
}

export function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

/**
 * Header and trailer fields (RFC 9112 §5, RFC 9110 §7.6.1): one exact line grammar, and the parting of fields that
 * belong to one connection from fields that travel to the end.
 *
 * Pure. `name ":" OWS value OWS CRLF` and nothing else: no fold, no blank before the colon, no bare CR or LF.
 */
import { FieldNames, type HeaderField, noteRepeated } from '../../core/headers.js';
import { err, ok, type Result } from '../../core/result.js';
import { isBlank, tokenEnd, valueEnd } from './syntax.js';

export type FieldFault =
  | 'bad-field-name'
  | 'bad-field-value'
  | 'obs-fold'
  | 'bad-line-end'
  | 'too-many-fields'
  | 'ambiguous-field-name';

/**
 * The values that frame a message or speak to this connection only. A field that came more than once is joined with
 * a comma (RFC 9110 §5.3), which no grammar of a single value takes: a second Host or length is a fault by itself.
 */
export interface ControlFields {
  host: string | null;
  contentLength: string | null;
  transferEncoding: string | null;
  connection: string | null;
  upgrade: string | null;
  te: string | null;
  expect: string | null;
  trailer: string | null;
}

export interface FieldSection {
  /** In order, with case and duplicates; what is nominated by Connection is still in here. */
  readonly endToEnd: HeaderField[];
  readonly control: Readonly<ControlFields>;
  /** What ends here and could hold any text. */
  readonly dropped: readonly HeaderField[];
}

/** One that is being read. */
interface Draft {
  readonly endToEnd: HeaderField[];
  readonly control: ControlFields;
  /** Null: nothing yet. */
  dropped: HeaderField[] | null;
}

const NO_FIELDS: readonly HeaderField[] = [];

const CR = 0x0d;
const LF = 0x0a;
const COLON = 0x3a;

type Slot = keyof ControlFields | 'dropped';

const SLOTS: ReadonlyMap<string, Slot> = new Map<string, Slot>([
  ['host', 'host'],
  ['content-length', 'contentLength'],
  ['transfer-encoding', 'transferEncoding'],
  ['connection', 'connection'],
  ['upgrade', 'upgrade'],
  ['te', 'te'],
  ['expect', 'expect'],
  ['trailer', 'trailer'],
  ['keep-alive', 'dropped'],
  ['proxy-connection', 'dropped'],
  ['proxy-authenticate', 'dropped'],
  ['proxy-authentication-info', 'dropped'],
  ['proxy-authorization', 'dropped'],
  ['http2-settings', 'dropped'],
  // It would lead the sandbox to a protocol and a port that nobody decided on (RFC 7838).
  ['alt-svc', 'dropped'],
]);

/** The others have a grammar that no secret fits, or are read by somebody who searches them. */
const HOLDS_ANY_TEXT: ReadonlySet<Slot> = new Set<Slot>(['connection', 'upgrade', 'te', 'trailer', 'expect']);

const SLOT_NAMES = new FieldNames(SLOTS.keys());

/**
 * Reads the field lines of `text` from `at` to the empty line, which must be its end.
 */
export function readFields(text: string, at: number, maxFields: number): Result<FieldSection, FieldFault> {
  const draft: Draft = { endToEnd: [], control: noControl(), dropped: null };
  let line = at;
  let count = 0;
  while (text.charCodeAt(line) !== CR) {
    const colon = tokenEnd(text, line);
    if (colon === line || text.charCodeAt(colon) !== COLON) return err(nameFault(text, line));
    let from = colon + 1;
    while (isBlank(text.charCodeAt(from))) from++;
    const end = valueEnd(text, from);
    if (text.charCodeAt(end) !== CR)
      return err(text.charCodeAt(end) === LF ? 'bad-line-end' : 'bad-field-value');
    if (text.charCodeAt(end + 1) !== LF) return err('bad-line-end');
    if (++count > maxFields) return err('too-many-fields');
    let to = end;
    while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
    if (!file(text.slice(line, colon), text.slice(from, to), draft)) return err('ambiguous-field-name');
    line = end + 2;
  }
  return line + 2 === text.length && text.charCodeAt(line + 1) === LF
    ? ok(sectionOf(draft))
    : err('bad-line-end');
}

/** Sections are kept, and a list that grew by `push` has room for seventeen. */
function sectionOf({ endToEnd, control, dropped }: Draft): FieldSection {
  return { endToEnd: endToEnd.slice(), control, dropped: dropped ?? NO_FIELDS };
}

/** A section up to this size is kept until the next one comes. Characters. */
const KEPT_CHARACTERS = 4_096;

/**
 * Reads the field sections of one connection's messages. Most clients, and most servers within a second, say the same in
 * each: a section that is the last one again, byte for byte, is that section, and not read a second time.
 */
export class FieldReader {
  #text = '';
  #last: Result<FieldSection, FieldFault> | null = null;
  #isRepeated = false;
  readonly #maxFields: number;

  constructor(maxFields: number) {
    this.#maxFields = maxFields;
  }

  /** As `readFields`. What it gives must not be changed. */
  read(text: string, at: number): Result<FieldSection, FieldFault> {
    const last = this.#last;
    // Cut and compared: `endsWith` looks at one character after another.
    if (last?.ok && text.length - at === this.#text.length && text.slice(at) === this.#text) {
      if (!this.#isRepeated) noteRepeated(last.value.endToEnd);
      this.#isRepeated = true;
      return last;
    }
    const section = readFields(text, at, this.#maxFields);
    const isKept = section.ok && text.length - at <= KEPT_CHARACTERS;
    this.#text = isKept ? text.slice(at) : '';
    this.#last = isKept ? section : null;
    this.#isRepeated = false;
    return section;
  }
}

function nameFault(text: string, line: number): FieldFault {
  const first = text.charCodeAt(line);
  if (isBlank(first)) return 'obs-fold';
  return first === LF ? 'bad-line-end' : 'bad-field-name';
}

/**
 * Whether a field may be written as an end-to-end field: `never` for what frames a message or binds it to a connection
 * (a second one would be a second reading), `skip` for what simply ends here.
 */
export function passage(name: string): 'write' | 'skip' | 'never' {
  const slot = slotOf(name);
  if (slot === undefined || slot === 'trailer') return readsAsFraming(name) ? 'never' : 'write';
  return slot === 'dropped' ? 'skip' : 'never';
}

function slotOf(name: string): Slot | undefined {
  return SLOT_NAMES.mayHave(name) ? SLOTS.get(name.toLowerCase()) : undefined;
}

/** False for a name that some recipients read as a framing field (`Transfer_Encoding`). */
function file(name: string, value: string, draft: Draft): boolean {
  const slot = slotOf(name);
  if (slot === undefined) {
    draft.endToEnd.push([name, value]);
    return !readsAsFraming(name);
  }
  if (slot === 'dropped') {
    drop(draft, [name, value]);
  } else {
    if (HOLDS_ANY_TEXT.has(slot) && value !== 'keep-alive') drop(draft, [name, value]);
    const earlier = draft.control[slot];
    draft.control[slot] = earlier === null ? value : `${earlier},${value}`;
  }
  return true;
}

function drop(draft: Draft, field: HeaderField): void {
  if (draft.dropped === null) draft.dropped = [field];
  else draft.dropped.push(field);
}

/** Gateways of the CGI kind read an underscore, and some whatever is no letter or digit, as a hyphen. */
function readsAsFraming(name: string): boolean {
  if (name.length !== 14 && name.length !== 17) return false;
  return /^(?:content[^a-z0-9-]length|transfer[^a-z0-9-]encoding)$/i.test(name);
}

function noControl(): ControlFields {
  return {
    host: null,
    contentLength: null,
    transferEncoding: null,
    connection: null,
    upgrade: null,
    te: null,
    expect: null,
    trailer: null,
  };
}

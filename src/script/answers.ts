/**
 * What a hook may answer: exactly one of the documented forms, or it is an error, and so a denial.
 *
 * Pure. Reads JSON text that a script made. That a header or a path can be sent at all is judged by who sends it.
 */
import { err, ok, type Result } from '../core/result.js';
import type {
  Denial,
  HeaderPatch,
  MessageAnswer,
  Permission,
  RequestAnswer,
  RequestRewrite,
  Respond,
  ResponseAnswer,
} from '../policy/hooks.js';

/** The error is a sentence that follows the hook's name. */
type Read<T> = Result<T, string>;

type Fields = ReadonlyMap<string, unknown>;

/** Longest sentence of a denial, in UTF-16 code units. */
const REASON_UNITS = 500;
const MAX_FIELDS = 128;
const MAX_NOTES = 16;
const NOTE_UNITS = 256;

const ALLOW: Permission = Object.freeze({ kind: 'allow' });
const PASS: MessageAnswer = Object.freeze({ kind: 'pass' });

export function readPermission(text: string): Read<Permission> {
  // By far the most common answer.
  if (text === '{"allow":true}') return ok(ALLOW);
  return readOne(text, "{ allow: true } or { deny: 'reason' }", (key, value) => {
    if (key === 'allow') return value === true ? ok(ALLOW) : null;
    return key === 'deny' ? readDenial(value) : null;
  });
}

export function readRequestAnswer(text: string): Read<RequestAnswer> {
  if (text === '{"allow":true}') return ok(ALLOW);
  const forms =
    "{ allow: true }, { deny: 'reason' }, { rewrite: { headers, path, query } } or { respond: { status, headers, body } }";
  return readOne<RequestAnswer>(text, forms, (key, value) => {
    if (key === 'allow') return value === true ? ok(ALLOW) : null;
    if (key === 'deny') return readDenial(value);
    if (key === 'rewrite') return readRewrite(value);
    return key === 'respond' ? readRespond(value) : null;
  });
}

export function readResponseAnswer(text: string): Read<ResponseAnswer> {
  if (text === '{"pass":true}') return ok(PASS);
  const forms = "{ pass: true }, { deny: 'reason' } or { rewrite: { headers } }";
  return readOne<ResponseAnswer>(text, forms, (key, value) => {
    if (key === 'pass') return value === true ? ok(PASS) : null;
    if (key === 'deny') return readDenial(value);
    if (key !== 'rewrite') return null;
    const fields = fieldsOf(value, ['headers']);
    const headers = fields.ok ? readPatch(fields.value.get('headers')) : fields;
    return headers.ok ? ok({ kind: 'rewrite', headers: headers.value }) : headers;
  });
}

export function readMessageAnswer(text: string): Read<MessageAnswer> {
  if (text === '{"pass":true}') return ok(PASS);
  return readOne(text, "{ pass: true } or { deny: 'reason' }", (key, value) => {
    if (key === 'pass') return value === true ? ok(PASS) : null;
    return key === 'deny' ? readDenial(value) : null;
  });
}

/** An empty object: nothing to write. */
export function readNotes(text: string): Read<readonly string[]> {
  if (text === '{}') return ok([]);
  return readOne(text, '{ annotate: [text, …] } or nothing', (key, value) => {
    if (key !== 'annotate' || !Array.isArray(value) || value.length > MAX_NOTES) return null;
    const isNote = (note: unknown): note is string => typeof note === 'string' && note.length <= NOTE_UNITS;
    return value.every(isNote) ? ok(value) : null;
  });
}

/** The one key of the one object; `read` gives null for what is no form at all. */
function readOne<T>(
  text: string,
  forms: string,
  read: (key: string, value: unknown) => Read<T> | null,
): Read<T> {
  const entries = entriesOf(parsed(text));
  const [first, ...others] = entries ?? [];
  const found = first === undefined || others.length > 0 ? null : read(...first);
  return found ?? err(`answered ${shown(text)}, which is not ${forms}`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // No answer in any form, then.
    return null;
  }
}

function entriesOf(value: unknown): [string, unknown][] | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : null;
}

function shown(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function readDenial(reason: unknown): Read<Denial> | null {
  if (typeof reason !== 'string' || reason === '') return null;
  return ok({ kind: 'deny', code: 'script', reason: reason.slice(0, REASON_UNITS) });
}

/** The fields of an object that has no others than `allowed`. */
function fieldsOf(value: unknown, allowed: readonly string[]): Read<Fields> {
  const entries = entriesOf(value);
  if (entries === null) return err(`answered with something that is no object of ${allowed.join(', ')}`);
  const unknown = entries.find(([key]) => !allowed.includes(key));
  if (unknown !== undefined) return err(`answered with ${shown(unknown[0])}, which only the rules decide`);
  return ok(new Map(entries));
}

function readRewrite(value: unknown): Read<RequestRewrite> {
  const fields = fieldsOf(value, ['headers', 'path', 'query']);
  if (!fields.ok) return fields;
  const { headers: patch = {}, path, query } = Object.fromEntries(fields.value);
  const headers = readPatch(patch);
  if (!headers.ok) return headers;
  if (path !== undefined && typeof path !== 'string') return err('answered with a path that is no text');
  if (query !== undefined && typeof query !== 'string') return err('answered with a query that is no text');
  return ok({ kind: 'rewrite', headers: headers.value, path: path ?? null, query: query ?? null });
}

function readRespond(value: unknown): Read<Respond> {
  const fields = fieldsOf(value, ['status', 'headers', 'body']);
  if (!fields.ok) return fields;
  // What is not there has its default; null is no status.
  const { headers: patch = {}, status = 200, body = '' } = Object.fromEntries(fields.value);
  const headers = readPatch(patch);
  if (!headers.ok) return headers;
  if (typeof status !== 'number' || !Number.isInteger(status) || status < 200 || status > 599) {
    return err('answered with a status that is not a whole number from 200 to 599');
  }
  if (typeof body !== 'string') return err('answered with a body that is no text');
  if (body !== '' && (status === 204 || status === 205 || status === 304)) {
    return err(`answered with a body, which a ${status} has none of`);
  }
  return ok({ kind: 'respond', status, headers: headers.value, body });
}

function readPatch(value: unknown): Read<HeaderPatch> {
  const entries = entriesOf(value);
  if (entries === null) return err('answered with headers that are no object');
  if (entries.length > MAX_FIELDS) return err(`answered with more than ${MAX_FIELDS} headers`);
  const patch = new Map<string, readonly string[]>();
  const seen = new Set<string>();
  for (const [name, given] of entries) {
    if (seen.has(name.toLowerCase())) return err(`answered with the header ${shown(name)} twice`);
    seen.add(name.toLowerCase());
    const values = given === null ? [] : Array.isArray(given) ? given : [given];
    if (values.length > MAX_FIELDS || !values.every(item => typeof item === 'string')) {
      return err(`answered with the header ${shown(name)}, whose value is no text, list of texts or null`);
    }
    patch.set(name, values);
  }
  return ok(patch);
}

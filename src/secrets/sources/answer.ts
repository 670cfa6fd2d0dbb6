/** The JSON that a service of secrets answers with, read without ever repeating it in a message. Pure. */
import { err, ok, type Result } from '../../core/result.js';
import type { Fetched, Given, SourceAnswer, SourceFault } from './source.js';

/** A JSON object as a map: its keys are a stranger's strings. */
export type JsonObject = ReadonlyMap<string, unknown>;

export function given(
  value: string,
  lifeMs: number | null = null,
): { readonly ok: true; readonly value: Given } {
  return ok({ value, lifeMs });
}

/** The source says that there is no value. */
export function gone(message: string): { readonly ok: false; readonly error: SourceFault } {
  return err({ gone: true, message });
}

/** The source could not be asked, or made no sense. */
export function failed(message: string): { readonly ok: false; readonly error: SourceFault } {
  return err({ gone: false, message });
}

export function parseObject(text: string): JsonObject | null {
  try {
    return objectOf(JSON.parse(text));
  } catch {
    // The parser's message quotes the text, which may hold the value.
    return null;
  }
}

export function objectOf(value: unknown): JsonObject | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  return new Map(Object.entries(value));
}

/** One string of an object; numbers are written as JSON writes them. */
export function textField(object: JsonObject, field: string): Fetched {
  const value = object.get(field);
  if (typeof value === 'string') return given(value);
  if (typeof value === 'number') return given(JSON.stringify(value));
  return gone(value === undefined ? `there is no field ${field}` : `its field ${field} is not text`);
}

/** The object of a 200, or what the status means. 403 and 404 say that there is nothing for us. */
export function answeredObject(
  answer: Result<SourceAnswer, string>,
  who: string,
): Result<JsonObject, SourceFault> {
  if (!answer.ok) return failed(`${who} ${answer.error}`);
  const { status, body } = answer.value;
  if (status === 401 || status === 403 || status === 404) return gone(`${who} answered ${status}`);
  if (status !== 200) return failed(`${who} answered ${status}`);
  const object = parseObject(body);
  return object === null ? failed(`${who} did not answer with a JSON object`) : ok(object);
}

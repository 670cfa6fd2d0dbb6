/**
 * Places: where in a request a secret may go, as `in:` of a policy names them.
 *
 * Pure. `header`, `header:NAME`, `basic`, `query`, `query:NAME`, `path`, `body`, `body:json:$.a.b`,
 * `body:form:FIELD`, `websocket`. The default is `header` and `basic`.
 */
import { FieldNames } from '../core/headers.js';
import { err, ok, type Result } from '../core/result.js';

export type Place =
  /** Any field value, or those of one field; Basic credentials inside it too. `name` is lower case. */
  | { readonly kind: 'header'; readonly name: string | null }
  /** Only inside the credentials of `Authorization: Basic` (RFC 7617). */
  | { readonly kind: 'basic' }
  | { readonly kind: 'query'; readonly name: string | null }
  | { readonly kind: 'path' }
  /** Anywhere in the content. */
  | { readonly kind: 'body' }
  /** The string at one path of a JSON content, such as `['auth', 'token']`. */
  | { readonly kind: 'json'; readonly keys: readonly string[] }
  /** One field of an `application/x-www-form-urlencoded` content. */
  | { readonly kind: 'form'; readonly field: string }
  /** Text messages of a WebSocket. */
  | { readonly kind: 'websocket' };

export const DEFAULT_PLACES: readonly Place[] = Object.freeze([
  { kind: 'header', name: null },
  { kind: 'basic' },
] as const);

/**
 * Fields that no value may enter: they decide where a message goes, how it is cut, or what the next hop does with it.
 * Lower case.
 */
export const FORBIDDEN_FIELDS = new FieldNames([
  'host',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'expect',
  'http2-settings',
  'keep-alive',
  'max-forwards',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'if-range',
  'sec-websocket-accept',
  'sec-websocket-extensions',
  'sec-websocket-key',
  'sec-websocket-version',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

export type PlaceFault = 'not-a-place' | 'forbidden-field' | 'not-a-json-path';

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const JSON_PATH = /^\$(?:\.[A-Za-z0-9_-]+)+$/;

/** Reads one entry of `in:`. */
export function parsePlace(text: string): Result<Place, PlaceFault> {
  const colon = text.indexOf(':');
  const kind = colon < 0 ? text : text.slice(0, colon);
  const rest = colon < 0 ? null : text.slice(colon + 1);
  if (kind === 'header') return rest === null ? ok({ kind, name: null }) : headerPlace(rest);
  if (kind === 'query' && rest !== '') return ok({ kind, name: rest });
  if (kind === 'body' && rest !== null) return bodyPlace(rest);
  if (rest !== null) return err('not-a-place');
  if (kind === 'basic' || kind === 'path' || kind === 'body' || kind === 'websocket') return ok({ kind });
  return err('not-a-place');
}

function headerPlace(field: string): Result<Place, PlaceFault> {
  if (!TOKEN.test(field)) return err('not-a-place');
  const name = field.toLowerCase();
  return FORBIDDEN_FIELDS.has(name) ? err('forbidden-field') : ok({ kind: 'header', name });
}

function bodyPlace(rest: string): Result<Place, PlaceFault> {
  if (rest.startsWith('json:')) {
    const path = rest.slice('json:'.length);
    return JSON_PATH.test(path)
      ? ok({ kind: 'json', keys: path.slice(2).split('.') })
      : err('not-a-json-path');
  }
  if (rest.startsWith('form:') && rest.length > 'form:'.length) {
    return ok({ kind: 'form', field: rest.slice('form:'.length) });
  }
  return err('not-a-place');
}

/** May a value stand in the field `lowerName`? */
export function allowsHeader(places: readonly Place[], lowerName: string): boolean {
  return places.some(place => place.kind === 'header' && (place.name === null || place.name === lowerName));
}

/** May a value stand inside Basic credentials of the field `lowerName`? */
export function allowsBasic(places: readonly Place[], lowerName: string): boolean {
  return places.some(place => place.kind === 'basic') || allowsHeader(places, lowerName);
}

/** May a value stand in the query field `name`? */
export function allowsQuery(places: readonly Place[], name: string): boolean {
  return places.some(place => place.kind === 'query' && (place.name === null || place.name === name));
}

export function allowsKind(places: readonly Place[], kind: 'path' | 'websocket'): boolean {
  return places.some(place => place.kind === kind);
}

/** Is some part of a content a place for it? */
export function allowsContent(places: readonly Place[]): boolean {
  return places.some(({ kind }) => kind === 'body' || kind === 'json' || kind === 'form');
}

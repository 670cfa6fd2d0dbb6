/**
 * The strict reader of request heads over HTTP/2 (RFC 9113 §8.2, §8.3): a field list in, a head out.
 *
 * Pure. The rules are those of HTTP/1, by the same code: what passes here could be written as one HTTP/1.1 message
 * that has one reading. What is malformed in HTTP/2 (§8.1.1) is told apart from a request that is refused.
 */
import { parseAuthority } from '../../core/authority.js';
import type { HeaderField, HeaderList } from '../../core/headers.js';
import { err, ok, type Result } from '../../core/result.js';
import type { Framing, RequestHead } from '../exchange.js';
import type { AuthorityReader } from '../http1/authority.js';
import type { RequestFaultCode } from '../http1/fault.js';
import { passage } from '../http1/fields.js';
import { parseContentLength } from '../http1/framing.js';
import { parseRequestLine } from '../http1/request-line.js';
import { isFieldValue, isToken } from '../http1/syntax.js';
import { parseTarget } from '../http1/target.js';
import { LastList } from './last-list.js';

/** `malformed`: RFC 9113 §8.1.1 makes it a stream error; else it is a request, and gets an answer. */
export interface HeadFault {
  readonly code: RequestFaultCode;
  readonly malformed: boolean;
}

export interface HeadReading {
  readonly authorities: AuthorityReader;
  readonly sections: SectionReader;
  /** HEADERS carried END_STREAM: there is no content. */
  readonly endStream: boolean;
  /** Most content, in bytes; Infinity for no limit. */
  readonly contentBytes: number;
  /** Bytes of the head on the wire. */
  readonly wireBytes: number;
}

interface Pseudo {
  method: string | null;
  scheme: string | null;
  authority: string | null;
  path: string | null;
}

interface Control {
  host: string | null;
  contentLength: string | null;
  expect: string | null;
  trailer: string | null;
  wantsTrailers: boolean;
}

interface Section {
  readonly control: Control;
  readonly endToEnd: HeaderField[];
  readonly dropped: HeaderField[];
}

const malformed = (code: RequestFaultCode): { readonly ok: false; readonly error: HeadFault } =>
  err({ code, malformed: true });
const refused = (code: RequestFaultCode): { readonly ok: false; readonly error: HeadFault } =>
  err({ code, malformed: false });

/** Reads the field list of a request. */
export function parseHead(fields: HeaderList, reading: HeadReading): Result<RequestHead, HeadFault> {
  const pseudo: Pseudo = { method: null, scheme: null, authority: null, path: null };
  const from = takePseudo(fields, pseudo);
  if (typeof from !== 'number') return from;
  const section = reading.sections.read(fields, from);
  if (!section.ok) return section;
  const { control } = section.value;
  const line = readPseudo(pseudo);
  if (!line.ok) return line;
  const { method, path } = line.value;
  const framing = readFraming(method, control.contentLength, reading);
  if (!framing.ok) return framing;
  const authority = readAuthority(pseudo.authority, control.host, reading.authorities);
  if (!authority.ok) return authority;
  const hasContent = framing.value.kind !== 'none';
  if (control.expect !== null && control.expect.toLowerCase() !== '100-continue')
    return refused('bad-expectation');
  const { endToEnd, dropped } = placeTrailer(section.value, hasContent);
  return ok({
    method,
    authority: authority.value,
    path,
    headers: endToEnd,
    version: '2',
    framing: framing.value,
    wantsTrailers: control.wantsTrailers,
    upgrade: null,
    expectsContinue: control.expect !== null && hasContent,
    headBytes: reading.wireBytes,
    ...(dropped.length > 0 && { dropped }),
  });
}

/** The claims of a request that may be none, for its event only. */
export function claimOf(fields: HeaderList): { method: string; target: string; host: string } {
  const first = (name: string): string => (fields.find(field => field[0] === name)?.[1] ?? '').slice(0, 256);
  return { method: first(':method'), target: first(':path'), host: first(':authority') || first('host') };
}

/** Reads the fields behind the pseudo-fields of one connection's requests. */
export class SectionReader {
  readonly #last = new LastList<Section>(({ endToEnd }) => endToEnd);

  /** The fields of `fields` from the index `from` on. What it gives must not be changed. */
  read(fields: HeaderList, from: number): Result<Section, HeadFault> {
    const known = this.#last.again(fields, from);
    if (known !== null) return ok(known);
    const section = readSection(fields, from);
    this.#last.keep(fields, from, section.ok ? section.value : null);
    return section;
  }
}

/** Pseudo-fields stand first, once each (RFC 9113 §8.3): the index of the first field behind them. */
function takePseudo(
  fields: HeaderList,
  pseudo: Pseudo,
): number | { readonly ok: false; readonly error: HeadFault } {
  for (let i = 0; i < fields.length; i++) {
    const [name, value] = fields[i] as HeaderField;
    if (name.charCodeAt(0) !== COLON) return i;
    if (!isFieldValue(value)) return malformed('bad-field-value');
    if (!putPseudo(pseudo, name, value)) return malformed('bad-request-line');
  }
  return fields.length;
}

function readSection(fields: HeaderList, from: number): Result<Section, HeadFault> {
  const section: Section = {
    control: { host: null, contentLength: null, expect: null, trailer: null, wantsTrailers: false },
    endToEnd: [],
    dropped: [],
  };
  const crumbs: string[] = [];
  for (let i = from; i < fields.length; i++) {
    const [name, value] = fields[i] as HeaderField;
    if (!isFieldValue(value)) return malformed('bad-field-value');
    if (name.charCodeAt(0) === COLON) return malformed('bad-request-line');
    const fault =
      name === 'cookie' ? putCrumb(section.endToEnd, crumbs, value) : putField(section, name, value);
    if (fault !== null) return malformed(fault);
  }
  if (crumbs.length > 1) joinCrumbs(section.endToEnd, crumbs);
  return ok(section);
}

/** It announces fields behind the content, and goes on where there is one. */
function placeTrailer(
  { control: { trailer }, endToEnd, dropped }: Section,
  hasContent: boolean,
): { readonly endToEnd: HeaderList; readonly dropped: HeaderList } {
  if (trailer === null) return { endToEnd, dropped };
  const field: HeaderField = ['trailer', trailer];
  return hasContent
    ? { endToEnd: [...endToEnd, field], dropped }
    : { endToEnd, dropped: [...dropped, field] };
}

const COLON = 0x3a;

function putPseudo(pseudo: Pseudo, name: string, value: string): boolean {
  const key = PSEUDO.get(name);
  if (key === undefined || pseudo[key] !== null) return false;
  pseudo[key] = value;
  return true;
}

const PSEUDO: ReadonlyMap<string, keyof Pseudo> = new Map<string, keyof Pseudo>([
  [':method', 'method'],
  [':scheme', 'scheme'],
  [':authority', 'authority'],
  [':path', 'path'],
]);

/** Fields of one connection: their presence makes a request malformed (RFC 9113 §8.2.2). */
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

const UPPER_CASE = /[A-Z]/;

function putField(
  { control, endToEnd, dropped }: Section,
  name: string,
  value: string,
): RequestFaultCode | null {
  const slot = CONTROL.get(name);
  if (slot !== undefined) {
    const earlier = control[slot];
    // Joined as HTTP/1 joins them: no grammar of one value takes the comma, so two hosts or lengths are a fault.
    control[slot] = earlier === null ? value : `${earlier},${value}`;
    return null;
  }
  if (name === 'te') {
    control.wantsTrailers = true;
    return value.toLowerCase() === 'trailers' ? null : 'bad-connection';
  }
  if (!isToken(name) || UPPER_CASE.test(name)) return 'bad-field-name';
  if (CONNECTION_SPECIFIC.has(name)) return 'bad-connection';
  const way = passage(name);
  if (way === 'never') return 'ambiguous-field-name';
  (way === 'write' ? endToEnd : dropped).push([name, value]);
  return null;
}

type ControlText = 'host' | 'contentLength' | 'expect' | 'trailer';

const CONTROL: ReadonlyMap<string, ControlText> = new Map<string, ControlText>([
  ['host', 'host'],
  ['content-length', 'contentLength'],
  ['expect', 'expect'],
  ['trailer', 'trailer'],
]);

/** The first crumb holds the place of all. */
function putCrumb(endToEnd: HeaderField[], crumbs: string[], value: string): null {
  if (crumbs.length === 0) endToEnd.push(['cookie', value]);
  crumbs.push(value);
  return null;
}

/** One field again, as anything but HTTP/2 wants it (RFC 9113 §8.2.3). */
function joinCrumbs(endToEnd: HeaderField[], crumbs: readonly string[]): void {
  const at = endToEnd.findIndex(([name]) => name === 'cookie');
  endToEnd[at] = ['cookie', crumbs.join('; ')];
}

/** The request line that HTTP/1.1 would have is read as HTTP/1.1 reads it. */
function readPseudo(pseudo: Pseudo): Result<{ method: string; path: string }, HeadFault> {
  const { method, scheme, path } = pseudo;
  if (method === null || !isToken(method)) return malformed('bad-request-line');
  if (method === 'CONNECT') return refused('method-not-supported');
  if (scheme === null || path === null) return malformed('bad-request-line');
  if (scheme !== 'https') return refused('wrong-scheme');
  // Absolute-form has no place here: what it would name is in the other pseudo-fields.
  const isPath = path.startsWith('/') || path === '*';
  const target = isPath ? parseTarget(path, method, 'https') : err('bad-target' as const);
  if (!target.ok) return malformed('bad-target');
  const line = parseRequestLine(`${method} ${path} HTTP/1.1`);
  return line.ok ? ok({ method, path: target.value.path }) : refused(line.error);
}

function readAuthority(
  pseudo: string | null,
  host: string | null,
  authorities: AuthorityReader,
): Result<RequestHead['authority'], HeadFault> {
  const text = pseudo ?? host;
  if (text === null) return malformed('no-host');
  const authority = authorities.read(text, null);
  if (!authority.ok) return refused(authority.error);
  if (pseudo === null || host === null || host === pseudo) return authority;
  const named = parseAuthority(host, 'https');
  if (!named.ok) return refused('bad-host');
  const same = authorities.read(text, named.value);
  return same.ok ? same : refused(same.error);
}

function readFraming(
  method: string,
  contentLength: string | null,
  reading: HeadReading,
): Result<Framing, HeadFault> {
  const bytes = contentLength === null ? null : parseContentLength(contentLength);
  if (contentLength !== null && bytes === null) return malformed('bad-content-length');
  if (reading.endStream) {
    if (bytes !== null && bytes > 0) return malformed('bad-content-length');
    return ok(bytes === null ? { kind: 'none' } : { kind: 'length', bytes });
  }
  if (bytes === null) return ok({ kind: 'chunked' });
  if (bytes > 0 && isContentless(method)) return refused('content-not-expected');
  return bytes > reading.contentBytes ? refused('content-too-large') : ok({ kind: 'length', bytes });
}

/** Methods whose content would be somebody's second request (RFC 9110 §9.3.1), as over HTTP/1. */
export function isContentless(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}

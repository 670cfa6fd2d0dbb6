/**
 * Examples: what an operator expects of a policy script, read from what their file noted, made into what a hook is asked,
 * and compared with what it said.
 *
 * Pure.
 */

import { parseUrl } from '../core/authority.js';
import type { HeaderField, HeaderList } from '../core/headers.js';
import { hostText, parseHostname } from '../core/host.js';
import { err, ok, type Result } from '../core/result.js';
import type {
  ConnectFacts,
  Denial,
  HookName,
  MessageFacts,
  RequestFacts,
  ResolveFacts,
  ResponseFacts,
  TlsFacts,
} from '../policy/hooks.js';
import { placeOf } from './modules.js';

export interface Expectation {
  readonly kind: 'allows' | 'passes' | 'denies' | 'fails' | 'rewrites' | 'responds' | 'annotates';
  /** What was given beside it, as JSON has it; null: nothing. */
  readonly value: unknown;
}

export interface ExampleStep {
  readonly hook: HookName;
  readonly input: unknown;
  /** Milliseconds since the Unix epoch; null: `EXAMPLE_TIME`. */
  readonly at: number | null;
  /** It begins a new sandbox, whose state is empty. */
  readonly fresh: boolean;
  readonly stack: string;
  readonly expect: Expectation | null;
}

/** A Wednesday at noon, UTC: what `now()` says where a file does not say what time it is. */
export const EXAMPLE_TIME = Date.UTC(2026, 0, 7, 12);

export function stepsOf(json: string): readonly ExampleStep[] {
  return JSON.parse(json) as readonly ExampleStep[];
}

/** `policy.test.js:12`. */
export function stepPlace({ stack }: ExampleStep): string {
  const place = placeOf(stack);
  return place === null ? 'an example' : `${place.file}:${place.line}`;
}

type Facts = Result<object, string>;

/** What the hook of `step` is asked. The error is a sentence. */
export function factsOfStep({ hook, input }: ExampleStep): Facts {
  const given = (typeof input === 'object' && input !== null ? input : {}) as Record<string, unknown>;
  switch (hook) {
    case 'onRequest':
      return requestOf(given);
    case 'onResponse':
      return within(given, request => responseOf(given, request));
    case 'onMessage':
      return within(given, request => messageOf(given, request));
    case 'onResolve': {
      const name = parseHostname(text(given.name));
      return name.ok
        ? ok({ name: name.value, type: text(given.type, 'A') } satisfies ResolveFacts)
        : badName(given.name);
    }
    case 'onConnect':
      return ok({
        host: typeof given.host === 'string' ? given.host : null,
        address: text(given.address, '192.0.2.1'),
        port: typeof given.port === 'number' ? given.port : 443,
      } satisfies ConnectFacts);
    case 'onTls':
      return ok({
        sni: text(given.sni),
        alpn: Array.isArray(given.alpn) ? given.alpn.map(String) : [],
      } satisfies TlsFacts);
    case 'onEvent':
      return ok(given);
  }
}

function badName(name: unknown): Facts {
  return err(`'${String(name)}' is no host name`);
}

function within(given: Record<string, unknown>, make: (request: RequestFacts) => object): Facts {
  const inner = given.request ?? { url: 'https://example.test/' };
  const request = requestOf(inner as Record<string, unknown>);
  return request.ok ? ok(make(request.value)) : request;
}

function requestOf(given: Record<string, unknown>): Result<RequestFacts, string> {
  const url = parseUrl(text(given.url));
  if (!url.ok) return err(`'${String(given.url)}' is no http or https URL (${url.error})`);
  const { authority, path } = url.value;
  const mark = path.indexOf('?');
  const body = typeof given.body === 'string' ? given.body : null;
  const announced = typeof given.bodyBytes === 'number' ? given.bodyBytes : null;
  const length = body === null ? 0 : Buffer.byteLength(body);
  return ok({
    method: text(given.method, 'GET'),
    scheme: authority.scheme,
    host: hostText(authority.host),
    port: authority.port,
    path: mark < 0 ? path : path.slice(0, mark),
    query: mark < 0 ? '' : path.slice(mark + 1),
    headers: headersOf(given.headers),
    bodyBytes: 'bodyBytes' in given ? announced : length,
    body,
  });
}

function responseOf(given: Record<string, unknown>, request: RequestFacts): ResponseFacts {
  return {
    status: typeof given.status === 'number' ? given.status : 200,
    headers: headersOf(given.headers),
    body: typeof given.body === 'string' ? given.body : null,
    bodyOmitted: (given.bodyOmitted as ResponseFacts['bodyOmitted'] | undefined) ?? null,
    request,
  };
}

function messageOf(given: Record<string, unknown>, request: RequestFacts): MessageFacts {
  const said = typeof given.text === 'string' ? given.text : null;
  return {
    direction: given.direction === 'sent' ? 'sent' : 'received',
    kind: said === null ? 'binary' : given.kind === 'text' ? 'text' : 'sse',
    text: said,
    bytes: typeof given.bytes === 'number' ? given.bytes : Buffer.byteLength(said ?? ''),
    request,
  };
}

function headersOf(given: unknown): HeaderList {
  if (typeof given !== 'object' || given === null) return [];
  return Object.entries(given).flatMap(([name, value]): HeaderField[] =>
    Array.isArray(value) ? value.map(each => [name, String(each)]) : [[name, String(value)]],
  );
}

function text(value: unknown, otherwise = ''): string {
  return typeof value === 'string' ? value : otherwise;
}

/** Anything that a hook may answer, notes included. */
export type AnyAnswer = { readonly kind: string } | Denial | readonly string[];

/** Null: it is what was expected. Else a sentence that says what it is. */
export function unexpected(expect: Expectation | null, answer: AnyAnswer): string | null {
  if (expect === null) return 'states nothing: call .allows(), .denies() or another on it';
  return meets(expect, answer)
    ? null
    : `expected ${expect.kind}${shown(expect.value)}, got ${answerText(answer)}`;
}

function meets({ kind, value }: Expectation, answer: AnyAnswer): boolean {
  if (!('kind' in answer)) return kind === 'annotates' && includes(answer, value);
  switch (kind) {
    case 'allows':
      return answer.kind === 'allow';
    case 'passes':
      return answer.kind === 'pass';
    case 'denies':
      return (
        isDenial(answer) &&
        answer.code === 'script' &&
        (value === null || answer.reason.includes(String(value)))
      );
    case 'fails':
      return isDenial(answer) && answer.code !== 'script' && (value === null || answer.code === value);
    case 'rewrites':
      return answer.kind === 'rewrite' && includes(plain(answer), value ?? {});
    case 'responds':
      return answer.kind === 'respond' && includes(plain(answer), value ?? {});
    case 'annotates':
      return false;
  }
}

function isDenial(answer: { readonly kind: string }): answer is Denial {
  return answer.kind === 'deny';
}

/** Header names in lower case, one value as itself: how an example writes them. */
function plain(answer: object): unknown {
  const { headers } = answer as { headers?: ReadonlyMap<string, readonly string[]> };
  const fields = [...(headers ?? [])].map(([name, values]): [string, unknown] => [
    name.toLowerCase(),
    values.length === 0 ? null : values.length === 1 ? values[0] : values,
  ]);
  return { ...answer, headers: Object.fromEntries(fields) };
}

/** Whether all that `wanted` says is so in `seen`; header names are compared without their case. */
function includes(seen: unknown, wanted: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null) return seen === wanted;
  if (typeof seen !== 'object' || seen === null) return false;
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(seen) &&
      seen.length === wanted.length &&
      wanted.every((item, i) => includes(seen[i], item))
    );
  }
  const there = new Map(Object.entries(seen));
  return Object.entries(wanted).every(([key, value]) => {
    const name = there.has(key) ? key : key.toLowerCase();
    return there.has(name) && includes(there.get(name), value);
  });
}

function shown(value: unknown): string {
  return value === null ? '' : `(${JSON.stringify(value)})`;
}

export function answerText(answer: AnyAnswer): string {
  if (!('kind' in answer)) return `annotations ${JSON.stringify(answer)}`;
  if (isDenial(answer)) return `${answer.code === 'script' ? 'a denial' : answer.code}: ${answer.reason}`;
  return answer.kind === 'rewrite' || answer.kind === 'respond'
    ? `${answer.kind} ${JSON.stringify(plain(answer))}`
    : answer.kind;
}

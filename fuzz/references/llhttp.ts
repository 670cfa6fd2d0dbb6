/**
 * Node's own HTTP/1 parser, called directly: a second opinion on the same bytes, thousands of times a second.
 *
 * `_http_common` is not public. It is the parser itself without a server around it; only the fuzzer leans on it.
 */

import { METHODS } from 'node:http';
import { createRequire } from 'node:module';

export interface LlhttpMessage {
  readonly version: string;
  /** Empty for an answer. */
  readonly method: string;
  readonly target: string;
  readonly status: number;
  readonly reason: string;
  readonly headers: [string, string][];
  /** What follows speaks something else (CONNECT, an upgrade): the parser stops. */
  readonly upgrade: boolean;
  body: Buffer;
  trailers: [string, string][];
  complete: boolean;
}

export interface LlhttpReading {
  /** Messages whose head was taken, in order. */
  readonly messages: readonly LlhttpMessage[];
  /** llhttp's code, as `HPE_INVALID_HEADER_TOKEN`, or null. */
  readonly error: string | null;
}

interface Parser {
  initialize(type: number, resource: object, maxHeaderSize: number, lenient: number): void;
  execute(bytes: Buffer): number | (Error & { readonly code?: string });
  finish(): undefined | (Error & { readonly code?: string });
  [callback: number]: (...args: never[]) => unknown;
}

interface ParserClass {
  new (): Parser;
  readonly REQUEST: number;
  readonly RESPONSE: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
  readonly kOnBody: number;
  readonly kOnMessageComplete: number;
}

const { HTTPParser } = createRequire(import.meta.url)('_http_common') as { readonly HTTPParser: ParserClass };

const MAX_HEADER_BYTES = 1 << 20;
const NOT_LENIENT = 0;
const SKIP_BODY = 1;

/** Reads `bytes` as requests. */
export function llhttpRequests(bytes: Buffer): LlhttpReading {
  return read(bytes, HTTPParser.REQUEST, () => false, false);
}

/** Reads `bytes` as the answers to one request with `method`, and then the end of the connection. */
export function llhttpResponses(bytes: Buffer, method: string): LlhttpReading {
  return read(bytes, HTTPParser.RESPONSE, status => method === 'HEAD' && status >= 200, true);
}

function read(
  bytes: Buffer,
  type: number,
  isHeadOnly: (status: number) => boolean,
  ends: boolean,
): LlhttpReading {
  const messages: LlhttpMessage[] = [];
  const methods = methodNames();
  const parser = started(type);
  // A long head comes in parts: fields first, then the rest.
  let early: string[] = [];
  let earlyTarget = '';
  let open: LlhttpMessage | null = null;
  parser[HTTPParser.kOnHeaders | 0] = (fields: string[], target: string) => {
    early.push(...fields);
    earlyTarget += target;
  };
  parser[HTTPParser.kOnHeadersComplete | 0] = (
    major: number,
    minor: number,
    fields: string[] | undefined,
    method: number | undefined,
    target: string | undefined,
    status: number | undefined,
    reason: string | undefined,
    upgrade: boolean,
  ) => {
    open = {
      version: `${major}.${minor}`,
      method: method === undefined ? '' : (methods.get(method) ?? ''),
      target: earlyTarget + (target ?? ''),
      status: status ?? 0,
      reason: reason ?? '',
      headers: pairs([...early, ...(fields ?? [])]),
      upgrade,
      body: Buffer.alloc(0),
      trailers: [],
      complete: false,
    };
    early = [];
    earlyTarget = '';
    messages.push(open);
    return isHeadOnly(status ?? 0) ? SKIP_BODY : 0;
  };
  parser[HTTPParser.kOnBody | 0] = (chunk: Buffer) => {
    if (open !== null) open.body = Buffer.concat([open.body, chunk]);
  };
  parser[HTTPParser.kOnMessageComplete | 0] = () => {
    if (open !== null) Object.assign(open, { complete: true, trailers: pairs(early) });
    early = [];
    // With the trailers the target of their request came again.
    earlyTarget = '';
  };
  const taken = parser.execute(Buffer.from(bytes));
  const error = typeof taken === 'number' ? (ends ? parser.finish() : undefined) : taken;
  return { messages, error: error === undefined ? null : (error.code ?? 'HPE') };
}

/** One parser each for requests and answers, started anew: its memory is not the garbage collector's. */
const parsers = new Map<number, Parser>();

function started(type: number): Parser {
  const parser = parsers.get(type) ?? new HTTPParser();
  parsers.set(type, parser);
  parser.initialize(type, {}, MAX_HEADER_BYTES, NOT_LENIENT);
  return parser;
}

function pairs(raw: readonly string[]): [string, string][] {
  const list: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) list.push([raw[i] ?? '', raw[i + 1] ?? '']);
  return list;
}

let names: Map<number, string> | null = null;

/** The parser tells methods by number; which number is whose differs between releases. */
function methodNames(): ReadonlyMap<number, string> {
  if (names !== null) return names;
  names = new Map();
  for (const method of METHODS) {
    const parser = started(HTTPParser.REQUEST);
    parser[HTTPParser.kOnHeadersComplete | 0] = (
      _major: number,
      _minor: number,
      _fields: unknown,
      number: number,
    ) => {
      names?.set(number, method);
      return 0;
    };
    parser.execute(
      Buffer.from(`${method} ${method === 'CONNECT' ? 'a:1' : '/'} HTTP/1.1\r\nHost: a\r\n\r\n`),
    );
  }
  return names;
}

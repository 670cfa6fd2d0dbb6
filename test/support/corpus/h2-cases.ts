/**
 * `h2.json`: how a case is delivered, what is seen of it, and how that is judged. Delivery needs a connection, judging
 * needs nothing, so that the same cases go to the server alone and through a whole gateway.
 */
import type { Duplex } from 'node:stream';
import type { HeaderList } from '../../../src/core/headers.js';
import { ERROR, TYPE } from '../../../src/proxy/http2/frames.js';
import { HpackDecoder } from '../../../src/proxy/http2/hpack-decoder.js';
import { framesOf, type SeenFrame } from '../h2-frames.js';
import { type CorpusCase, failed, type Outcome, PASSED, skipped } from './case.js';

/** A request that reached the upstream whole. */
export interface Forwarded {
  readonly method: string;
  /** What was decided and dialled: `allowed.test`. */
  readonly host: string;
  readonly path: string;
  readonly headers: HeaderList;
  readonly trailers: HeaderList;
  readonly contentBytes: number;
}

/** What came back to the client. */
export interface H2Answer {
  /** False: the handshake was refused. */
  readonly connected: boolean;
  readonly frames: readonly SeenFrame[];
  readonly closed: boolean;
}

export interface H2Seen extends H2Answer {
  readonly forwarded: readonly Forwarded[];
  /** Most requests that were worked on at a time. */
  readonly concurrent: number;
  /** Bytes of content that were taken from the upstream. */
  readonly pulledBytes: number;
}

/** The answer of the upstream must be larger than any buffer for this case. */
export function wantsLargeAnswer(corpusCase: CorpusCase): boolean {
  return /large answer/.test(corpusCase.note ?? '');
}

/** How long a case may go without an end that shows, in milliseconds: some have none. */
const PATIENCE_MS = 1_500;

/** Sends the case's bytes on `connection`, and reads until it closes or all its streams have ended. */
export function deliverH2(corpusCase: CorpusCase, connection: Duplex): Promise<H2Answer> {
  const wire = Buffer.from(String(corpusCase.raw_b64), 'base64');
  const opened = openedStreams(wire);
  return new Promise(resolve => {
    let seen: Buffer = Buffer.alloc(0);
    const finish = (closed: boolean): void => {
      clearTimeout(timer);
      connection.destroy();
      resolve({ connected: true, frames: framesOf(seen), closed });
    };
    const timer = setTimeout(() => finish(false), PATIENCE_MS);
    connection.on('data', (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk]);
      const ended = endedStreams(framesOf(seen));
      if (opened.size > 0 && [...opened].every(stream => ended.has(stream))) finish(false);
    });
    connection.once('end', () => finish(true));
    connection.once('close', () => finish(true));
    connection.on('error', () => {}); // a reset is a close
    connection.write(wire);
  });
}

function openedStreams(wire: Buffer): Set<number> {
  const frames = framesOf(wire.subarray(24)).filter(({ type }) => type === TYPE.headers);
  return new Set(frames.map(({ stream }) => stream));
}

function endedStreams(frames: readonly SeenFrame[]): Set<number> {
  const ends = ({ type, flags }: SeenFrame): boolean =>
    type === TYPE.reset || ((type === TYPE.headers || type === TYPE.data) && (flags & 1) !== 0);
  return new Set(frames.filter(ends).map(({ stream }) => stream));
}

interface Reading {
  readonly statuses: readonly number[];
  readonly resets: readonly number[];
  /** The code of GOAWAY, or null. */
  readonly goaway: number | null;
}

function readAnswer(frames: readonly SeenFrame[]): Reading {
  const hpack = new HpackDecoder({ bytes: 65_536, fields: 200 });
  const statuses: number[] = [];
  for (const { type, payload } of frames) {
    if (type !== TYPE.headers) continue;
    const list = hpack.decode(payload);
    const first = list.ok ? list.value.fields[0] : undefined;
    if (first?.[0] === ':status') statuses.push(Number(first[1]));
  }
  const resets = frames
    .filter(({ type }) => type === TYPE.reset)
    .map(({ payload }) => payload.readUInt32BE(0));
  const goaway = frames.find(({ type }) => type === TYPE.goaway)?.payload.readUInt32BE(4) ?? null;
  return { statuses, resets, goaway };
}

const CODES: ReadonlyMap<string, number> = new Map([
  ['PROTOCOL_ERROR', ERROR.protocol],
  ['FLOW_CONTROL_ERROR', ERROR.flowControl],
  ['STREAM_CLOSED', ERROR.streamClosed],
  ['FRAME_SIZE_ERROR', ERROR.frameSize],
  ['COMPRESSION_ERROR', ERROR.compression],
  ['ENHANCE_YOUR_CALM', ERROR.enhanceYourCalm],
]);

const UNDERSTOOD =
  /forward|reject|refused|policy|ignored?|close|bounded|stream error|GOAWAY|RST|^4\d\d|_ERROR|STREAM_CLOSED|CALM/i;

/** Most that may be taken from an upstream for a client that takes nothing. */
const HELD_BYTES = 4 << 20;
/** Most requests that one connection may have under way. */
const CONCURRENT = 128;
/** Most that may be sent to a client that only asks to be answered. */
const REPLY_BYTES = 256 << 10;

/** Whether what was seen is what the case expects. */
export function judgeH2(corpusCase: CorpusCase, seen: H2Seen): Outcome {
  const expected = String(corpusCase.expected);
  const reading = readAnswer(seen.frames);
  const told = describe(seen, reading);
  const harm = harmOf(seen, String(corpusCase.sni ?? 'allowed.test').toLowerCase());
  if (harm !== null) return failed(expected, `harm: ${harm}, ${told}`);
  if (!UNDERSTOOD.test(expected)) return skipped(`'${expected}' is not understood`);
  return meets(expected, seen, reading) ? PASSED : failed(expected, told);
}

/** What no case may do, whatever it expects. */
function harmOf({ forwarded, concurrent, pulledBytes }: H2Seen, ownHost: string): string | null {
  for (const { method, host, path, headers, trailers } of forwarded) {
    if (host !== ownHost) return `a request for ${host}`;
    const texts = [method, path, ...headers.flat(), ...trailers.flat()];
    if (texts.some(text => /[\r\n\0]/.test(text))) return 'a line break passed';
    if (/[\s#]/.test(`${method}${path}`)) return 'a request line with two readings';
    if (headers.filter(([name]) => name.toLowerCase() === 'cookie').length > 1) return 'cookie crumbs';
    const merged = [...headers, ...trailers].some(([, value]) => value.includes('denied.test'));
    if (merged) return 'a field that names another host';
  }
  if (concurrent > CONCURRENT) return `${concurrent} requests at a time`;
  return pulledBytes > HELD_BYTES ? `${pulledBytes} bytes held` : null;
}

function meets(expected: string, seen: H2Seen, { statuses, resets, goaway }: Reading): boolean {
  const none = seen.forwarded.length === 0;
  const refused =
    !seen.connected || goaway !== null || resets.length > 0 || statuses.some(status => status >= 400);
  const ended = seen.closed || goaway !== null || !seen.connected;
  const code = [...CODES].find(([name]) => expected.includes(name))?.[1];
  if (expected === 'forward') return seen.forwarded.length === 1 && statuses.includes(200);
  if (expected === 'reject') return none && refused;
  if (expected === 'policy') return refused || seen.forwarded.length === 1;
  if (expected.startsWith('403'))
    return none && (!seen.connected || statuses.some(s => s === 403 || s === 421));
  if (expected.startsWith('431')) return none && refused;
  if (expected.startsWith('bounded') && !expected.includes('GOAWAY')) return replyBytes(seen) < REPLY_BYTES;
  if (expected.endsWith('or bounded')) return ended || replyBytes(seen) < REPLY_BYTES;
  if (expected === 'stream error or ignored') return true;
  if (expected === 'close') return none && ended;
  if (/ or |\//.test(expected))
    return alternatives(expected).some(one => meets(one, seen, { statuses, resets, goaway }));
  if (/\bignored?\b/.test(expected)) return true;
  if (code !== undefined && !expected.includes('GOAWAY')) return resets.includes(code) || goaway === code;
  if (code !== undefined) return none && goaway === code;
  if (/stream error|RST/i.test(expected)) return resets.length > 0 || goaway !== null;
  if (/^4\d\d|refused/.test(expected)) return none && refused;
  return expected.includes('GOAWAY') && goaway !== null;
}

/** `GOAWAY or ignored`, `400/refused`: what follows a semicolon is commentary. */
function alternatives(expected: string): string[] {
  const [choice = ''] = expected.split(';');
  return choice.split(/ or |\//).map(text => text.trim());
}

function replyBytes({ frames }: H2Seen): number {
  return frames.reduce((sum, { payload }) => sum + payload.length + 9, 0);
}

/** First the word that `docs/reference/choices.md` names outcomes by. */
function describe(seen: H2Seen, { statuses, resets, goaway }: Reading): string {
  const word = seen.forwarded.length > 0 ? 'forward' : 'reject';
  const parts = [`${seen.forwarded.length} forwarded`, `status ${statuses.join()}`, `reset ${resets.join()}`];
  return `${word}: ${parts.join(', ')}, goaway ${goaway}, ${seen.closed ? 'closed' : 'open'}`;
}

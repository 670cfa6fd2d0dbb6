/**
 * `sni.json`: how a case is delivered, what is seen of it, and how that is judged. A case needs a connection to where
 * TLS is spoken and nothing else, so that it can go to the handshake's code alone and through a whole gateway.
 */
import { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { hello } from '../client-hello.js';
import { type CorpusCase, failed, type Outcome, PASSED, skipped } from './case.js';
import { SNI_SCENARIOS } from './sni-scenarios.js';

/** What the cases are asked of. */
export interface SniTarget {
  /** A connection of the sandbox to port 443 of anything. */
  connect(): Promise<Duplex>;
  /** A connection of another sandbox. */
  connectOther(): Promise<Duplex>;
  /** The interception CA's certificate. */
  readonly caPem: string;
  /** How long an unfinished handshake is waited for at most, in milliseconds. */
  readonly handshakeMs: number;
}

/** The server's first words to a ClientHello of TLS 1.2, where the certificate can be read. */
export interface HelloAnswer {
  /** The alert's description, or null. */
  readonly alert: number | null;
  /** Names of the certificate, or null when none was shown. */
  readonly names: string | null;
  /** The connection ended. */
  readonly closed: boolean;
}

const UNRECOGNIZED_NAME = 112;

/** Runs one case. */
export async function runSni(corpusCase: CorpusCase, target: SniTarget): Promise<Outcome> {
  if (corpusCase.category === 'behaviour') {
    const scenario = SNI_SCENARIOS.get(String(corpusCase.scenario));
    if (scenario === undefined) return skipped(`no script for '${String(corpusCase.scenario)}'`);
    const fault = await scenario(target);
    return fault === null ? PASSED : failed(corpusCase.expected, fault);
  }
  const answer = await sendHello(await target.connect(), helloOf(corpusCase));
  return judgeSni(corpusCase, answer);
}

function helloOf({ server_names: names, extension_hex: raw }: CorpusCase): Buffer {
  if (typeof raw === 'string') return hello({ rawExtensions: Buffer.from(raw, 'hex') });
  if (!Array.isArray(names) || names.length === 0) return hello({});
  // One character of the corpus is one byte, unless it is no byte: then it is what UTF-8 makes of it.
  const latin = (text: string): string =>
    /^[\0-\xff]*$/.test(text) ? text : Buffer.from(text).toString('latin1');
  return hello({ serverNames: names.map(name => latin(String(name))) });
}

/** Whether what was seen is what the case expects. */
export function judgeSni(corpusCase: CorpusCase, answer: HelloAnswer): Outcome {
  const expected = String(corpusCase.expected);
  const { alert, names, closed } = answer;
  const seen = `${names === null ? 'reject' : 'mint'}: alert ${alert}, names ${names}, ${closed ? 'closed' : 'open'}`;
  const isRefused = names === null && (alert !== null || closed);
  const [first = ''] = (corpusCase.server_names ?? []) as string[];
  const own = /^[A-Za-z0-9_.-]+$/.test(first) ? `DNS:${first.toLowerCase()}` : null;
  // Whatever is expected: a certificate is for one plain name and for the one that was asked for, or for an address.
  if (names !== null && names !== own && !/^IP Address:[0-9.]+$/.test(names)) return failed(expected, seen);
  if (expected.startsWith('mint')) return names === own ? PASSED : failed(expected, seen);
  if (expected.startsWith('alert-unrecognized_name')) {
    return names === null && alert === UNRECOGNIZED_NAME ? PASSED : failed(expected, seen);
  }
  if (expected === 'alert') return names === null && alert !== null ? PASSED : failed(expected, seen);
  return isRefused || names !== null ? PASSED : failed(expected, seen);
}

/** Longest wait for an answer, in milliseconds. */
const PATIENCE_MS = 5_000;

/** Writes `wire` and reads up to an alert, a certificate, or the end. */
export function sendHello(connection: Duplex, wire: Buffer): Promise<HelloAnswer> {
  return new Promise(resolve => {
    let seen: Buffer = Buffer.alloc(0);
    const finish = (closed: boolean): void => {
      clearTimeout(timer);
      connection.destroy();
      resolve({ ...readAnswer(seen), closed });
    };
    const timer = setTimeout(() => finish(false), PATIENCE_MS);
    connection.on('data', (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk]);
      const { alert, names } = readAnswer(seen);
      if (alert !== null || names !== null) finish(false);
    });
    connection.once('end', () => finish(true));
    connection.once('close', () => finish(true));
    connection.on('error', () => {}); // a reset is a close
    connection.write(wire);
  });
}

const ALERT = 21;
const HANDSHAKE = 22;
const CERTIFICATE = 11;

function readAnswer(bytes: Buffer): Omit<HelloAnswer, 'closed'> {
  const messages: Buffer[] = [];
  let at = 0;
  while (bytes.length - at >= 5) {
    const length = bytes.readUInt16BE(at + 3);
    const body = bytes.subarray(at + 5, at + 5 + length);
    if (body.length < length) break;
    if (bytes[at] === ALERT) return { alert: body[1] ?? null, names: null };
    if (bytes[at] === HANDSHAKE) messages.push(body);
    at += 5 + length;
  }
  return { alert: null, names: certificateNames(Buffer.concat(messages)) };
}

/** Subject alternative names of the first certificate of a Certificate message (RFC 5246 §7.4.2). */
function certificateNames(messages: Buffer): string | null {
  let at = 0;
  while (messages.length - at >= 4) {
    const length = messages.readUIntBE(at + 1, 3);
    const body = messages.subarray(at + 4, at + 4 + length);
    if (body.length < length) return null;
    if (messages[at] === CERTIFICATE) {
      const size = body.readUIntBE(3, 3);
      return new X509Certificate(body.subarray(6, 6 + size)).subjectAltName ?? '';
    }
    at += 4 + length;
  }
  return null;
}

/**
 * The WebSocket opening handshake (RFC 6455 §4): what a request must hold, and what a 101 must answer.
 *
 * Pure but for SHA-1, which is a function too.
 */
import { createHash } from 'node:crypto';
import { type HeaderList, headerValues } from '../../core/headers.js';
import { isToken, tokenList, trimBlanks } from './syntax.js';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
/** Base64 of 16 bytes: the last character before the padding carries two bits. */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;

/** True when the fields make a valid handshake: exactly one version 13 and exactly one good key (§4.2.1). */
export function isHandshakeRequest(headers: HeaderList): boolean {
  const versions = headerValues(headers, 'sec-websocket-version');
  const keys = headerValues(headers, 'sec-websocket-key');
  return versions.length === 1 && versions[0] === '13' && keys.length === 1 && KEY.test(keys[0] ?? '');
}

/** The `Sec-WebSocket-Accept` that proves that the peer read `key` (§4.2.2). */
export function acceptOf(key: string): string {
  return createHash('sha1')
    .update(key + GUID)
    .digest('base64');
}

/**
 * True when the fields of a 101 answer exactly the handshake that was sent (§4.1): one right proof, at most one
 * subprotocol and only extensions that were offered. `Upgrade` and `Connection` are checked by who read the head.
 */
export function isHandshakeAnswer(offer: HeaderList, answer: HeaderList): boolean {
  const [key, ...otherKeys] = headerValues(offer, 'sec-websocket-key');
  const accepts = headerValues(answer, 'sec-websocket-accept');
  if (key === undefined || otherKeys.length > 0) return false;
  if (accepts.length !== 1 || accepts[0] !== acceptOf(key)) return false;
  return isOfferedProtocol(offer, answer) && extensionsWereOffered(offer, answer);
}

function isOfferedProtocol(offer: HeaderList, answer: HeaderList): boolean {
  const chosen = headerValues(answer, 'sec-websocket-protocol');
  if (chosen.length === 0) return true;
  const [protocol = ''] = chosen;
  if (chosen.length > 1 || !isToken(protocol)) return false;
  const offered = headerValues(offer, 'sec-websocket-protocol').flatMap(value =>
    value.split(',').map(trimBlanks),
  );
  return offered.includes(protocol);
}

function extensionsWereOffered(offer: HeaderList, answer: HeaderList): boolean {
  const chosen = extensionsOf(answer);
  if (chosen.length === 0) return true;
  const offered = new Set(extensionsOf(offer).map(extension => extension.name));
  const names = new Set(chosen.map(extension => extension.name));
  if (names.size !== chosen.length) return false;
  return chosen.every(({ name, parameters }) => offered.has(name) && parameters.every(isSaneParameter));
}

interface Extension {
  readonly name: string;
  readonly parameters: readonly string[];
}

function extensionsOf(headers: HeaderList): Extension[] {
  return headerValues(headers, 'sec-websocket-extensions')
    .flatMap(value => value.split(','))
    .map(trimBlanks)
    .filter(text => text !== '')
    .map(text => {
      const [name = '', ...parameters] = text.split(';').map(trimBlanks);
      return { name: name.toLowerCase(), parameters };
    });
}

/** RFC 7692 §7.1.2: a window of 8 to 15 bits. Other parameters must at least be parameters. */
function isSaneParameter(text: string): boolean {
  const [name = '', value, ...rest] = text.split('=').map(trimBlanks);
  if (!isToken(name) || rest.length > 0) return false;
  if (value === undefined) return true;
  const bare = value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
  if (!isToken(bare)) return false;
  return name.toLowerCase().endsWith('_max_window_bits') ? /^(?:[89]|1[0-5])$/.test(bare) : true;
}

/**
 * What an Upgrade field asks for: `websocket` alone, something with websocket among it (`mixed`), or protocols that
 * are none of ours (`other`).
 */
export function upgradeKind(value: string): 'websocket' | 'mixed' | 'other' {
  const lower = value.toLowerCase();
  if (lower === 'websocket') return 'websocket';
  return lower.includes('websocket') || tokenListOfProtocols(lower) === null ? 'mixed' : 'other';
}

/** Protocols are tokens with an optional `/version` (RFC 9110 §7.8). */
function tokenListOfProtocols(text: string): string[] | null {
  return tokenList(text.replaceAll('/', ','));
}

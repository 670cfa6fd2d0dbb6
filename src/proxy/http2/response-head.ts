/**
 * Answers as HTTP/2 writes them (RFC 9113 §8.2, §8.3.2): lower-case fields, none of one connection, a status first.
 *
 * Pure.
 */
import { GatewayError } from '../../core/errors.js';
import { type HeaderField, type HeaderList, NO_HEADERS } from '../../core/headers.js';
import type { Answer } from '../exchange.js';
import { passage } from '../http1/fields.js';
import { isHeadOnly } from '../http1/response-head.js';
import { isFieldValue, isToken } from '../http1/syntax.js';
import { type CommonFields, type MessageFields, NONE_SENSITIVE, WrittenFields } from './hpack-encoder.js';

export interface AnswerFields extends MessageFields {
  /** Nothing but the head is sent. */
  readonly headOnly: boolean;
  /** The content's announced length, in bytes; null when none is. */
  readonly length: number | null;
}

/** Throws `GatewayError` UPSTREAM_PROTOCOL when the answer cannot be written as one message. */
export function answerFields(answer: Answer, method: string): AnswerFields {
  const { head, body } = answer;
  if (head.status < 200 || head.status > 599) throw unwritable(`${head.status} is no final answer`);
  const headOnly = isHeadOnly(head.status, method);
  const length = announcedLength(answer, headOnly);
  return {
    before: [[':status', String(head.status)]],
    common: commonFields(head.headers),
    after: length === null ? NO_HEADERS : [['content-length', String(length)]],
    headOnly,
    length: headOnly ? null : body instanceof Uint8Array ? body.length : length,
  };
}

/** A whole body's own length is the truth; an answer without content keeps what it announced for a GET. */
function announcedLength({ head, body }: Answer, headOnly: boolean): number | null {
  if (headOnly) {
    const mayAnnounce = head.status !== 204 && head.status !== 205;
    return mayAnnounce && head.framing.kind === 'length' ? head.framing.bytes : null;
  }
  if (body instanceof Uint8Array) return body.length;
  return head.framing.kind === 'length' ? head.framing.bytes : null;
}

/** The fields of an interim answer. */
export function interimFields(status: number, headers: HeaderList): HeaderList {
  if (status < 100 || status > 199 || status === 101) throw unwritable(`${status} is not an interim answer`);
  return [[':status', String(status)], ...endToEnd(headers)];
}

/** The fields of a trailer section. */
export function trailerFields(trailers: HeaderList): HeaderList {
  return endToEnd(trailers);
}

const written = new WrittenFields();

function commonFields(headers: HeaderList): CommonFields {
  return written.get(headers, NONE_SENSITIVE) ?? written.keep(headers, NONE_SENSITIVE, endToEnd(headers));
}

function endToEnd(headers: HeaderList): HeaderField[] {
  const fields: HeaderField[] = [];
  for (const [name, value] of headers) put(fields, name, value);
  return fields;
}

function put(fields: HeaderField[], name: string, value: string): void {
  if (!isToken(name) || !isFieldValue(value))
    throw unwritable('the answer holds a field that cannot be written');
  if (passage(name) === 'write') fields.push([name.toLowerCase(), value]);
}

function unwritable(message: string): GatewayError {
  return new GatewayError('UPSTREAM_PROTOCOL', message);
}

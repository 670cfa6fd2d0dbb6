/**
 * AWS Signature Version 4 in a header field: what a client wrote, read strictly, and the same written anew.
 *
 * Pure: the date comes with the request.
 */
import { createHmac } from 'node:crypto';
import type { HeaderList } from '../../core/headers.js';
import { err, ok, type Result } from '../../core/result.js';
import { type CanonicalFault, canonicalRequest, sha256 } from './canonical.js';

export interface CredentialScope {
  /** `YYYYMMDD`. */
  readonly date: string;
  readonly region: string;
  readonly service: string;
}

export interface Authorization {
  readonly accessKeyId: string;
  readonly scope: CredentialScope;
  /** Lower-case names, sorted, without repetition. */
  readonly signed: readonly string[];
}

export interface SigningPair {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

const ALGORITHM = 'AWS4-HMAC-SHA256';
const FIELD =
  /^AWS4-HMAC-SHA256 +Credential=([^\s,/]+)\/(\d{8})\/([a-z0-9-]+)\/([a-z0-9._-]+)\/aws4_request, *SignedHeaders=([a-z0-9;!#$%&'*+.^_`|~-]+), *Signature=[0-9a-f]{64}$/;

export function isSigV4(value: string): boolean {
  return /^AWS4-/i.test(value.trimStart());
}

/** The fields in the order that AWS's documentation gives, each once; anything else has a second reading. */
export function parseAuthorization(value: string): Result<Authorization, 'malformed' | 'signed-headers'> {
  const match = FIELD.exec(value);
  if (match === null) return err('malformed');
  const [, accessKeyId = '', date = '', region = '', service = '', names = ''] = match;
  const signed = names.split(';');
  if (signed.some((name, i) => name === '' || (i > 0 && name <= (signed[i - 1] ?? ''))))
    return err('signed-headers');
  return ok({ accessKeyId, scope: { date, region, service }, signed });
}

export interface SigningRequest {
  readonly method: string;
  readonly target: string;
  /** With `host` and `x-amz-date`. */
  readonly headers: HeaderList;
  readonly signed: readonly string[];
  readonly contentHash: string;
  /** `YYYYMMDDTHHMMSSZ`, of the field `x-amz-date`. */
  readonly date: string;
  readonly scope: CredentialScope;
}

/** The value of the field `Authorization`. */
export function emitAuthorization(
  request: SigningRequest,
  { accessKeyId, secretAccessKey }: SigningPair,
): Result<string, CanonicalFault> {
  const { scope } = request;
  const canonical = canonicalRequest({ ...request, service: scope.service });
  if (!canonical.ok) return canonical;
  const where = `${scope.date}/${scope.region}/${scope.service}/aws4_request`;
  const text = [ALGORITHM, request.date, where, sha256(Buffer.from(canonical.value, 'latin1'))].join('\n');
  const signature = hmac(signingKey(secretAccessKey, scope), text).toString('hex');
  const signed = request.signed.join(';');
  return ok(
    `${ALGORITHM} Credential=${accessKeyId}/${where}, SignedHeaders=${signed}, Signature=${signature}`,
  );
}

function signingKey(secretAccessKey: string, { date, region, service }: CredentialScope): Buffer {
  const first = hmac(Buffer.from(`AWS4${secretAccessKey}`, 'utf8'), date);
  return [region, service, 'aws4_request'].reduce((key, part) => hmac(key, part), first);
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text, 'latin1').digest();
}

/** `YYYYMMDDTHHMMSSZ` of a time in milliseconds since the epoch. */
export function amzDate(nowMs: number): string {
  return `${new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
}

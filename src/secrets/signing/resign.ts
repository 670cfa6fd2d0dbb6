/**
 * An AWS request that the sandbox signed with a pair of placeholders, signed again with the pair.
 *
 * Pure. Service and region are the policy's: a signature for another is refused, because the same key would open it.
 */
import {
  FieldNames,
  firstHeader,
  type HeaderList,
  headerValues,
  withoutHeaders,
} from '../../core/headers.js';
import { err, ok, type Result } from '../../core/result.js';
import { reveal } from '../secret.js';
import type { Entry, SandboxSecrets } from '../store.js';
import { type CanonicalFault, sha256 } from './canonical.js';
import { replaced, type Signable, type Signing } from './signable.js';
import { type Authorization, emitAuthorization, isSigV4, parseAuthorization } from './sigv4.js';
import type { SigV4Spec } from './spec.js';

/** Due where the Authorization names the placeholder of the access key id. */
export function sigV4Signing(
  secrets: SandboxSecrets,
  key: Entry,
  spec: SigV4Spec,
  request: Signable,
): Result<Signing | null, string> {
  const id = secrets.entries.get(spec.accessKeyId);
  if (id === undefined || !request.allowed.has(id.name)) return ok(null);
  if (isPresigned(request.before.path, id.placeholder)) {
    return err('a presigned URL cannot be signed again; sign in the Authorization field');
  }
  const fields = headerValues(request.before.headers, 'authorization');
  // Another signature, or none, is the sandbox's own affair.
  if (!fields.some(value => isSigV4(value) && value.includes(id.placeholder))) return ok(null);
  if (fields.length !== 1) return err('there are two Authorization fields');
  const read = readAuthorization(fields[0] ?? '', id, spec);
  if (!read.ok) return read;
  const date = dateOf(request.headers, read.value);
  const declared = headerValues(request.headers, 'x-amz-content-sha256');
  const fault = date === null ? DAYS_DIFFER : declaredFault(declared);
  if (date === null || fault !== null) return err(fault ?? DAYS_DIFFER);
  return ok({
    secret: key.name,
    needsContent: declared.length === 0,
    sign: content => {
      const contentHash = declared[0] ?? sha256(content);
      return signed(request, { ...read.value, date, contentHash }, key, id);
    },
  });
}

interface Order extends Authorization {
  readonly date: string;
  readonly contentHash: string;
}

function signed(request: Signable, order: Order, key: Entry, id: Entry): Result<HeaderList, string> {
  const headers: HeaderList = [...withoutHeaders(request.headers, HOST), ['host', request.host]];
  const value = emitAuthorization(
    {
      ...order,
      method: request.method,
      target: request.path,
      headers,
      signed: signedOf(headers, order.signed),
    },
    { accessKeyId: reveal(id.secret), secretAccessKey: reveal(key.secret) },
  );
  return value.ok ? ok(replaced(request.headers, 'authorization', value.value)) : err(FAULTS[value.error]);
}

const HOST = new FieldNames(['host']);
const DAYS_DIFFER = 'x-amz-date and the date of the credential scope are not one day';

/** The one `x-amz-date`, if it is of the day of the scope. */
function dateOf(headers: HeaderList, { scope }: Authorization): string | null {
  const dates = headerValues(headers, 'x-amz-date');
  const date = firstHeader(headers, 'x-amz-date') ?? '';
  return dates.length === 1 && /^\d{8}T\d{6}Z$/.test(date) && date.startsWith(scope.date) ? date : null;
}

function readAuthorization(
  field: string,
  id: Entry,
  { service, region }: SigV4Spec,
): Result<Authorization, string> {
  const parsed = parseAuthorization(field);
  if (!parsed.ok) {
    return err(
      parsed.error === 'malformed'
        ? 'the Authorization field is not AWS4-HMAC-SHA256 with Credential, SignedHeaders and Signature'
        : 'the names of SignedHeaders are not sorted, or one stands twice',
    );
  }
  const { accessKeyId, scope, signed: names } = parsed.value;
  if (accessKeyId !== id.placeholder) return err(`the credential is not the placeholder of ${id.name}`);
  if (scope.service !== service || scope.region !== region) {
    return err(
      `the credential scope is ${scope.region}/${scope.service}, and only ${region}/${service} is signed`,
    );
  }
  if (!names.includes('host') || !names.includes('x-amz-date')) {
    return err('SignedHeaders must name host and x-amz-date');
  }
  return parsed;
}

function declaredFault(values: readonly string[]): string | null {
  if (values.length > 1) return 'there are two x-amz-content-sha256 fields';
  const [value] = values;
  if (value === undefined || value === 'UNSIGNED-PAYLOAD' || /^[0-9a-f]{64}$/.test(value)) return null;
  if (value.startsWith('STREAMING-'))
    return `${value.slice(0, 64)} signs each chunk and cannot be signed again; send a whole content or UNSIGNED-PAYLOAD`;
  return 'x-amz-content-sha256 is neither a SHA-256 in hexadecimal nor UNSIGNED-PAYLOAD';
}

function isPresigned(target: string, placeholder: string): boolean {
  const query = target.slice(target.indexOf('?') + 1);
  return target.includes('?') && /(^|&)X-Amz-Credential=/i.test(query) && query.includes(placeholder);
}

/** What the gateway or a hop may still change is not signed; every `x-amz-` field that leaves is. */
const NEVER_SIGNED: ReadonlySet<string> = new Set([
  ...['accept-encoding', 'authorization', 'connection', 'content-length', 'expect', 'if-range', 'keep-alive'],
  ...['range', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'user-agent', 'x-amzn-trace-id'],
]);

function signedOf(headers: HeaderList, wanted: readonly string[]): readonly string[] {
  const leaving = new Set(headers.map(([name]) => name.toLowerCase()));
  const names = [...leaving].filter(name => wanted.includes(name) || name.startsWith('x-amz-'));
  return names.filter(name => !NEVER_SIGNED.has(name)).sort();
}

const FAULTS: Readonly<Record<CanonicalFault, string>> = {
  'bad-path': 'the path is not well encoded, so it cannot be signed',
  'bad-query': 'the query is not well encoded, so it cannot be signed',
  'plus-in-query': "a '+' in the query has two readings; write %2B or %20",
};

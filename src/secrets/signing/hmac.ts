/**
 * An HMAC in a field of the request (RFC 2104), made anew with the key over the parts that the policy names.
 *
 * Pure.
 */
import { createHmac } from 'node:crypto';
import { firstHeader, headerValues } from '../../core/headers.js';
import { err, ok, type Result } from '../../core/result.js';
import { reveal } from '../secret.js';
import type { Entry } from '../store.js';
import { replaced, type Signable, type Signing } from './signable.js';
import type { HmacPart, HmacSpec } from './spec.js';

/** Due where the request holds the field: the sandbox signed it with the placeholder. */
export function hmacSigning(key: Entry, spec: HmacSpec, request: Signable): Result<Signing | null, string> {
  const fields = headerValues(request.headers, spec.header);
  if (fields.length === 0) return ok(null);
  const [field = ''] = fields;
  if (fields.length > 1) return err(`there are two ${spec.header} fields`);
  if (!field.startsWith(spec.prefix) || !isDigest(field.slice(spec.prefix.length), spec)) {
    return err(`${spec.header} does not hold an HMAC in the form that the policy says`);
  }
  const wanted = spec.over.flatMap(part => (part.kind === 'header' ? [part.name] : []));
  const unclear = wanted.find(name => headerValues(request.headers, name).length !== 1);
  if (unclear !== undefined) return err(`there is not exactly one ${unclear} field to sign`);
  return ok({
    secret: key.name,
    needsContent: spec.over.some(({ kind }) => kind === 'body'),
    sign: content => {
      const mac = createHmac(spec.algorithm, Buffer.from(reveal(key.secret), 'utf8'));
      for (const [i, part] of spec.over.entries()) {
        if (i > 0) mac.update(spec.separator, 'utf8');
        mac.update(bytesOf(part, request, content));
      }
      return ok(replaced(request.headers, spec.header, spec.prefix + mac.digest(spec.encoding)));
    },
  });
}

const DIGEST_BYTES = { sha256: 32, sha384: 48, sha512: 64 } as const;

/** Of the right length, and in the one spelling that the encoding has for it. */
function isDigest(text: string, { algorithm, encoding }: HmacSpec): boolean {
  const bytes = Buffer.from(text, encoding);
  const spelled = bytes.toString(encoding);
  return (
    bytes.length === DIGEST_BYTES[algorithm] && spelled === (encoding === 'hex' ? text.toLowerCase() : text)
  );
}

function bytesOf(part: HmacPart, request: Signable, content: Uint8Array): Uint8Array {
  switch (part.kind) {
    case 'method':
      return Buffer.from(request.method, 'latin1');
    case 'host':
      return Buffer.from(request.host, 'latin1');
    case 'path':
      return Buffer.from(request.path, 'latin1');
    case 'body':
      return content;
    case 'header':
      return Buffer.from(firstHeader(request.headers, part.name) ?? '', 'latin1');
  }
}

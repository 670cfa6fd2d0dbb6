/**
 * The last step of the corridor before a request departs: a key that signs on the host signs what leaves.
 *
 * The signature covers the request as it is after substitution; only fields that nothing changes any more are in it.
 */
import { type Authority, authorityText } from '../core/authority.js';
import { err, ok, type Result } from '../core/result.js';
import type { Leak } from '../secrets/scan.js';
import { signingFor } from '../secrets/signing/sign.js';
import type { Signing } from '../secrets/signing/signable.js';
import type { SandboxSecrets } from '../secrets/store.js';
import type { Departing } from '../secrets/substitute.js';
import type { Guarded } from './body-guard.js';
import type { Body, RequestHead } from './exchange.js';
import type { Refusal } from './refusal.js';

/** Longest content that is held to be hashed; a longer one must bring its hash, or UNSIGNED-PAYLOAD. */
const HASHED_BYTES = 8_388_608;

export interface Signed {
  readonly substitution: Departing;
  readonly guarded: Guarded;
}

/** Gives both back as they are where no signature is due. The error is a sentence: the request may not leave. */
export function signDeparting(
  secrets: SandboxSecrets,
  head: RequestHead,
  substitution: Departing,
  guarded: Guarded,
): Result<Signed, string> | Promise<Result<Signed, string>> {
  if (!secrets.mayMeetSigning) return ok({ substitution, guarded });
  const due = signingFor(secrets, {
    method: head.method,
    before: head,
    path: substitution.path,
    headers: substitution.headers,
    host: authorityText(head.authority),
    allowed: substitution.scope.allowed,
  });
  if (!due.ok) return due;
  const signing = due.value;
  return signing === null ? ok({ substitution, guarded }) : signWith(signing, substitution, guarded);
}

async function signWith(
  signing: Signing,
  substitution: Departing,
  guarded: Guarded,
): Promise<Result<Signed, string>> {
  const content = signing.needsContent ? await whole(guarded.body, guarded) : NOTHING;
  if (content === null) {
    return err(`${signing.secret}: the content is over 8 MiB; send its hash in x-amz-content-sha256`);
  }
  const headers = signing.sign(content);
  if (!headers.ok) return err(`${signing.secret}: ${headers.error}`);
  return ok({
    substitution: {
      ...substitution,
      headers: headers.value,
      used: [...substitution.used, signing.secret],
    },
    guarded: signing.needsContent ? { body: content, framing: guarded.framing, leak: guarded.leak } : guarded,
  });
}

const NOTHING = new Uint8Array(0);

/** Null: too long, or it leaks, which `guarded` knows. */
async function whole(body: Body, guarded: Guarded): Promise<Uint8Array | null> {
  if (body instanceof Uint8Array) return body;
  const pieces: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const piece of body) {
      length += (piece as Uint8Array).length;
      if (length > HASHED_BYTES) return null;
      pieces.push(piece as Uint8Array);
    }
  } catch (error) {
    if (guarded.leak() === null) throw error;
    return null;
  }
  return Buffer.concat(pieces);
}

export function refusalOfSigning(hint: string, authority: Authority): Refusal {
  const host = authorityText(authority);
  return { status: 403, error: 'ErrBlocked', reason: 'signing', rule: null, host, hint };
}

/**
 * The request needs a secret that has no value now: its file is gone, its token could not be renewed. Null: that is not
 * all that is wrong with it.
 */
export function refusalOfMissing(
  leaks: readonly Leak[],
  inScope: readonly string[],
  unavailable: ReadonlyMap<string, string> | undefined,
  authority: Authority,
): Refusal | null {
  if (unavailable === undefined || leaks.length === 0) return null;
  const names = [...new Set(leaks.map(({ secret }) => secret))];
  const missing = names.filter(name => inScope.includes(name) && unavailable.has(name));
  if (missing.length < names.length || leaks.some(({ reason }) => reason !== 'retired')) return null;
  return {
    ...{ status: 502, error: 'SECRET_UNAVAILABLE', reason: 'SECRET_UNAVAILABLE', rule: null },
    host: authorityText(authority),
    hint: `the gateway has no value for ${missing.join(', ')} now`,
    detail: missing.map(name => `secret ${name}: ${unavailable.get(name)}`).join('; '),
  };
}

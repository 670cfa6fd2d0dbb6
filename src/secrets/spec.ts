/**
 * What an operator says of a secret, read: where it may stand, how often, and what is done with answers.
 *
 * Pure. The hosts are the policy's business: here is what is left when a verdict has named the secret.
 */
import { err, ok, type Result } from '../core/result.js';
import { allowsContent, DEFAULT_PLACES, type Place, parsePlace } from './place.js';
import { isPlaceholder } from './placeholder.js';
import { isSecretName, parseSecret, type SecretFault } from './secret.js';
import type { SigningSpec } from './signing/spec.js';
import type { ValueSource } from './sources/source.js';
import type { LoadedSecret } from './store.js';

/** One secret as the policy gives it. What is absent has its default. */
export interface SecretSpec {
  readonly name: string;
  readonly valueFrom: ValueSource;
  readonly placeholder: string | null;
  readonly allowHttp: boolean;
  /** As `parsePlace` reads it; absent: `header` and `basic`, and elsewhere a placeholder is left as it is. */
  readonly in?: readonly string[];
  readonly maxOccurrences?: number | null;
  /** Default true. */
  readonly redact?: boolean;
  readonly requirePlaceholder?: boolean;
  /** How often the source is asked again, in milliseconds; absent: at start and on reload. Files are watched. */
  readonly refreshMs?: number;
  /** A key that signs: it is in no request. */
  readonly sign?: SigningSpec;
}

/** What is wrong with one secret. `message` names it and never holds a value. */
export interface SecretProblem {
  readonly secret: string;
  readonly message: string;
}

/** Everything that is wrong with a spec, before any value is fetched. */
export function problemsOf(spec: SecretSpec): SecretProblem[] {
  const say = (message: string): SecretProblem => ({
    secret: spec.name,
    message: `secret ${spec.name}: ${message}`,
  });
  const problems: SecretProblem[] = [];
  if (!isSecretName(spec.name)) problems.push(say('is not the name of an environment variable'));
  if (spec.placeholder !== null && !isPlaceholder(spec.placeholder)) {
    problems.push(say('a placeholder is GWPH_ and 32 lower-case hexadecimal digits'));
  }
  const places = placesOf(spec);
  if (!places.ok)
    problems.push(...places.error.map(text => say(`in: '${text}' is not a place for a secret`)));
  else if (places.value.length === 0) problems.push(say('in: is empty, so it could never be used'));
  else if (spec.requirePlaceholder === true && places.value.every(place => allowsContent([place]))) {
    problems.push(say('require_placeholder needs a place in the head of a request'));
  }
  const most = spec.maxOccurrences ?? null;
  if (most !== null && !(Number.isSafeInteger(most) && most > 0)) {
    problems.push(say('max_occurrences is not a positive whole number'));
  }
  if (spec.sign !== undefined && (spec.in !== undefined || spec.requirePlaceholder === true)) {
    problems.push(say('a key that signs stands in no request: in and require_placeholder say nothing of it'));
  }
  return problems;
}

/** What is wrong with secrets that only together can be wrong. */
export function pairProblems(specs: readonly SecretSpec[]): SecretProblem[] {
  const byName = new Map(specs.map(spec => [spec.name, spec]));
  return specs.flatMap(({ name, sign }) => {
    if (sign?.kind !== 'aws_sigv4') return [];
    const id = byName.get(sign.accessKeyId);
    if (id !== undefined && id.sign === undefined) return [];
    const what = id === undefined ? 'is no secret of the policy' : 'signs itself';
    return [{ secret: name, message: `secret ${name}: sign: access_key_id: ${sign.accessKeyId} ${what}` }];
  });
}

/** The secret with its value. Call `problemsOf` first. */
export function loadedSecret(spec: SecretSpec, value: string): Result<LoadedSecret, SecretProblem> {
  const secret = parseSecret(spec.name, value);
  if (!secret.ok) {
    return err({ secret: spec.name, message: `secret ${spec.name}: its value ${FAULTS[secret.error]}` });
  }
  const places = placesOf(spec);
  return ok({
    secret: secret.value,
    placeholder: spec.placeholder,
    places: places.ok && spec.sign === undefined ? places.value : [],
    pinned: spec.in !== undefined,
    allowHttp: spec.allowHttp,
    maxOccurrences: spec.maxOccurrences ?? null,
    redact: spec.redact ?? true,
    requirePlaceholder: spec.requirePlaceholder ?? false,
    sign: spec.sign ?? null,
  });
}

const FAULTS: Readonly<Record<SecretFault, string>> = {
  'bad-name': 'has a name that is not the name of an environment variable',
  empty: 'is empty',
  'control-character': 'holds a control character, such as a line break, that could end a field',
  'lone-surrogate': 'is not well-formed text',
  'too-long': 'is longer than 64 KiB',
};

/** The places, or the entries that are none. */
function placesOf({ in: texts }: SecretSpec): Result<readonly Place[], readonly string[]> {
  if (texts === undefined) return ok(DEFAULT_PLACES);
  const places: Place[] = [];
  const wrong: string[] = [];
  for (const text of texts) {
    const place = parsePlace(text);
    if (place.ok) places.push(place.value);
    else wrong.push(text);
  }
  return wrong.length > 0 ? err(wrong) : ok(places);
}

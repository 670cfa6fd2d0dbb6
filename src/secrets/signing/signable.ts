/** What is to be signed, and a signature that is due. Pure. */
import type { HeaderList } from '../../core/headers.js';
import type { Result } from '../../core/result.js';

/** The request as it is about to leave. */
export interface Signable {
  readonly method: string;
  /** As the sandbox wrote them: placeholders, not values. */
  readonly before: { readonly path: string; readonly headers: HeaderList };
  /** As they leave. */
  readonly path: string;
  readonly headers: HeaderList;
  /** The Host that will be written. */
  readonly host: string;
  /** Names of the secrets that may leave with this request. */
  readonly allowed: ReadonlySet<string>;
}

/** One signature that is due. */
export interface Signing {
  readonly secret: string;
  /** The content must be at hand as a whole. */
  readonly needsContent: boolean;
  /** `content`: the content as it leaves; empty where it is not needed. */
  sign(content: Uint8Array): Result<HeaderList, string>;
}

/** The one field of this name with another value, where it stood. */
export function replaced(headers: HeaderList, name: string, value: string): HeaderList {
  return headers.map(([other, before]) => [other, other.toLowerCase() === name ? value : before] as const);
}

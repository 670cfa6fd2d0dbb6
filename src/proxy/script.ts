/**
 * What a policy script is to the proxy: asked after the rules, before the secrets. Its answer is decided again,
 * so it never reaches past the rules and never sees a value.
 */
import type { HeaderList } from '../core/headers.js';
import type { RequestHead } from './exchange.js';

export type ScriptAnswer =
  | { readonly kind: 'allow' }
  | { readonly kind: 'deny'; readonly reason: string }
  | { readonly kind: 'rewrite'; readonly path: string; readonly headers: HeaderList }
  | {
      readonly kind: 'respond';
      readonly status: number;
      readonly headers: HeaderList;
      readonly body: Uint8Array;
    };

export interface PolicyScript {
  /** Rejects when the script failed or ran out of time: the caller denies. */
  onRequest(head: RequestHead): Promise<ScriptAnswer>;
}

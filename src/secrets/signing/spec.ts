/** What an operator says of a secret that signs. Pure. */

/** How a key that never leaves the gateway is used; it signs anew what the sandbox signed with its placeholder. */
export type SigningSpec = SigV4Spec | HmacSpec;

export interface SigV4Spec {
  readonly kind: 'aws_sigv4';
  /** Name of the secret that holds the access key id. */
  readonly accessKeyId: string;
  readonly service: string;
  readonly region: string;
}

export interface HmacSpec {
  readonly kind: 'hmac';
  /** Lower-case name of the field that holds the signature. */
  readonly header: string;
  /** What stands before the signature in the field, as `sha256=`. */
  readonly prefix: string;
  readonly algorithm: 'sha256' | 'sha384' | 'sha512';
  readonly encoding: 'hex' | 'base64';
  /** What is signed, in this order. */
  readonly over: readonly HmacPart[];
  /** What stands between two parts. */
  readonly separator: string;
}

export type HmacPart =
  | { readonly kind: 'method' | 'host' | 'path' | 'body' }
  /** The value of one field, by its lower-case name; absent, the request is refused. */
  | { readonly kind: 'header'; readonly name: string };

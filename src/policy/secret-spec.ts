/** What an operator says of one secret. `secrets/` reads it; here it is only written down. Pure. */
import type { HostPattern } from './pattern.js';

/** What is on this machine. */
export type LocalSource =
  | { readonly kind: 'env'; readonly name: string }
  | { readonly kind: 'file'; readonly path: string }
  /** A list is run as it is; a string by `sh -c`. */
  | { readonly kind: 'command'; readonly command: string | readonly string[] }
  /** A descriptor that the gateway inherited, read once to its end; 0 is its standard input. */
  | { readonly kind: 'fd'; readonly fd: number }
  /** A file of `$CREDENTIALS_DIRECTORY` (systemd.exec(5), LoadCredential=). */
  | { readonly kind: 'systemd'; readonly name: string }
  /** Attributes of an item of the desktop's keyring, for `secret-tool lookup`. */
  | { readonly kind: 'keyring'; readonly attributes: readonly (readonly [string, string])[] };

export interface VaultSource {
  readonly kind: 'vault';
  /** `https://host[:port]`. */
  readonly address: string;
  readonly mount: string;
  readonly path: string;
  readonly field: string;
  readonly namespace: string | null;
  readonly tokenFrom: LocalSource;
}

export interface AwsSecretSource {
  readonly kind: 'aws_secrets_manager';
  readonly region: string;
  readonly secretId: string;
  /** A key of the secret's JSON object; null: the whole string. */
  readonly field: string | null;
  /** `https://host[:port]`; null: the region's own. */
  readonly endpoint: string | null;
  readonly accessKeyIdFrom: LocalSource;
  readonly secretAccessKeyFrom: LocalSource;
  readonly sessionTokenFrom: LocalSource | null;
}

export interface OAuth2Source {
  readonly kind: 'oauth2';
  readonly tokenUrl: string;
  readonly grant: 'client_credentials' | 'refresh_token';
  readonly clientId: string;
  readonly clientSecretFrom: LocalSource | null;
  readonly refreshTokenFrom: LocalSource | null;
  readonly scope: string | null;
}

export interface JwtSource {
  readonly kind: 'jwt';
  /** A private key in PEM. */
  readonly keyFrom: LocalSource;
  readonly algorithm: 'RS256' | 'ES256';
  /** Beside `iat` and `exp`. */
  readonly claims: readonly (readonly [string, string | number | boolean])[];
  readonly ttlMs: number;
}

export type ValueSource =
  | LocalSource
  | VaultSource
  | AwsSecretSource
  | OAuth2Source
  | JwtSource
  /** The value came with a flag and is given beside the spec. */
  | { readonly kind: 'literal' };

/** How a key that is in no request signs requests. */
export type SigningSpec =
  | {
      readonly kind: 'aws_sigv4';
      /** Name of the secret that holds the access key id. */
      readonly accessKeyId: string;
      readonly service: string;
      readonly region: string;
    }
  | {
      readonly kind: 'hmac';
      /** Lower-case name of the field that holds the signature. */
      readonly header: string;
      readonly prefix: string;
      readonly algorithm: 'sha256' | 'sha384' | 'sha512';
      readonly encoding: 'hex' | 'base64';
      readonly over: readonly HmacPart[];
      readonly separator: string;
    };

export type HmacPart =
  | { readonly kind: 'method' | 'host' | 'path' | 'body' }
  | { readonly kind: 'header'; readonly name: string };

/** Where one secret may go. A host without a port means the default port of the scheme. */
export interface SecretSpec {
  readonly name: string;
  readonly label: string;
  readonly hosts: readonly { readonly host: HostPattern; readonly port: number | null }[];
  readonly valueFrom: ValueSource;
  /** Null: one is made for each run. */
  readonly placeholder: string | null;
  readonly allowHttp: boolean;
  /** Where in a request it may stand; absent: header fields and Basic. `secrets/spec` reads this and what follows. */
  readonly in?: readonly string[];
  readonly maxOccurrences?: number;
  readonly redact?: boolean;
  readonly requirePlaceholder?: boolean;
  /** What follows a leak that was refused; absent: nothing more. */
  readonly onLeak?: 'block' | 'block-and-stop';
  /** How often the source is asked again, in milliseconds. */
  readonly refreshMs?: number;
  readonly sign?: SigningSpec;
}

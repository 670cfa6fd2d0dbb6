/** Where a value comes from, and what asking there gives. Pure. */
import type { Result } from '../../core/result.js';

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

/** A value, and how long it is good for, in milliseconds; null: nobody says. */
export interface Given {
  readonly value: string;
  readonly lifeMs: number | null;
  /** The source says that there may be another value after so long; this one does not end then. Absent: it says nothing. */
  readonly againMs?: number | null;
}

/** `gone`: the source says that there is no value. Otherwise it could not be asked, and may be asked again. */
export interface SourceFault {
  readonly gone: boolean;
  /** How, in half a sentence; never what. */
  readonly message: string;
}

export type Fetched = Result<Given, SourceFault>;

export interface SourceRequest {
  readonly method: 'GET' | 'POST';
  /** https alone. */
  readonly url: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface SourceAnswer {
  readonly status: number;
  readonly body: string;
}

/** Sends one request over verified TLS and follows nothing. The error is half a sentence. */
export type Ask = (request: SourceRequest, signal?: AbortSignal) => Promise<Result<SourceAnswer, string>>;

/**
 * Asks every kind of source. One question at a time goes to a source: who asks meanwhile gets the same answer, so that
 * a refresh token that is good for one use is used once.
 *
 * Pure: the shells are `file`, `command` and the `Ask` that is given.
 */
import type { Clock } from '../../core/clock.js';
import { ok, type Result } from '../../core/result.js';
import type { SecretSpec } from '../spec.js';
import { failed, given, gone } from './answer.js';
import { fromSecretsManager } from './aws.js';
import { COMMAND_TIMEOUT_MS, runCommand } from './command.js';
import { readDescriptor, readValue } from './file.js';
import { mintJwt } from './jwt.js';
import { fromTokenEndpoint } from './oauth2.js';
import type {
  Ask,
  AwsSecretSource,
  Fetched,
  LocalSource,
  OAuth2Source,
  SourceFault,
  ValueSource,
} from './source.js';
import { fromVault } from './vault.js';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface FetcherOptions {
  /** The gateway's own environment. */
  readonly env: Environment;
  /** The values that came with flags, by secret. */
  readonly literals: ReadonlyMap<string, string>;
  readonly ask: Ask;
  readonly clock: Pick<Clock, 'now'>;
  readonly commandTimeoutMs?: number;
  readonly signal?: AbortSignal;
}

type Local = Result<string, SourceFault>;

export class Fetcher {
  readonly #options: FetcherOptions;
  readonly #asking = new Map<string, Promise<Fetched>>();
  /** What descriptors gave: they can be read once. */
  readonly #inherited = new Map<number, Promise<Fetched>>();
  /** Refresh tokens that a server put in place of the configured ones. */
  readonly #refreshTokens = new Map<string, string>();

  constructor(options: FetcherOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  fetch({ name, valueFrom }: SecretSpec): Promise<Fetched> {
    const key = `${name} ${JSON.stringify(valueFrom)}`;
    const asked = this.#asking.get(key);
    if (asked !== undefined) return asked;
    const asking = this.#fetch(name, valueFrom, key).finally(() => this.#asking.delete(key));
    this.#asking.set(key, asking);
    return asking;
  }

  async #fetch(name: string, source: ValueSource, key: string): Promise<Fetched> {
    switch (source.kind) {
      case 'literal': {
        const value = this.#options.literals.get(name);
        return value === undefined ? gone('no value was given') : given(value);
      }
      case 'vault': {
        const token = await this.#text(source.tokenFrom, 'token_from');
        if (!token.ok) return token;
        const { ask, clock, signal } = this.#options;
        return fromVault(source, token.value, clock.now(), ask, signal);
      }
      case 'aws_secrets_manager':
        return this.#fromAws(source);
      case 'oauth2':
        return this.#fromOAuth2(source, key);
      case 'jwt': {
        const pem = await this.#text(source.keyFrom, 'key_from');
        return pem.ok ? mintJwt(source, pem.value, this.#options.clock.now()) : pem;
      }
      default:
        return this.#local(source);
    }
  }

  async #local(source: LocalSource): Promise<Fetched> {
    const { env, commandTimeoutMs: timeoutMs = COMMAND_TIMEOUT_MS, signal } = this.#options;
    const options = { env, timeoutMs, ...(signal && { signal }) };
    switch (source.kind) {
      case 'env': {
        const value = env[source.name];
        return value === undefined
          ? gone(`the environment variable ${source.name} is not set`)
          : given(value);
      }
      case 'file':
        return readValue(source.path);
      case 'command':
        return runCommand(source.command, options);
      case 'keyring':
        return runCommand(['secret-tool', 'lookup', ...source.attributes.flat()], options);
      case 'systemd': {
        const folder = env.CREDENTIALS_DIRECTORY;
        return folder === undefined
          ? gone('CREDENTIALS_DIRECTORY is not set: systemd gave no credentials')
          : readValue(`${folder}/${source.name}`);
      }
      case 'fd': {
        const read = this.#inherited.get(source.fd) ?? readDescriptor(source.fd);
        this.#inherited.set(source.fd, read);
        return read;
      }
    }
  }

  /** A part of a source, as the token that opens a vault. */
  async #text(source: LocalSource, part: string): Promise<Local> {
    const fetched = await this.#local(source);
    if (fetched.ok) return ok(fetched.value.value);
    const message = `${part}: ${fetched.error.message}`;
    return fetched.error.gone ? gone(message) : failed(message);
  }

  async #fromAws(source: AwsSecretSource): Promise<Fetched> {
    const id = await this.#text(source.accessKeyIdFrom, 'access_key_id_from');
    if (!id.ok) return id;
    const key = await this.#text(source.secretAccessKeyFrom, 'secret_access_key_from');
    if (!key.ok) return key;
    const token =
      source.sessionTokenFrom === null
        ? null
        : await this.#text(source.sessionTokenFrom, 'session_token_from');
    if (token?.ok === false) return token;
    const pair = { accessKeyId: id.value, secretAccessKey: key.value, sessionToken: token?.value ?? null };
    const { ask, clock, signal } = this.#options;
    return fromSecretsManager(source, pair, clock.now(), ask, signal);
  }

  async #fromOAuth2(source: OAuth2Source, key: string): Promise<Fetched> {
    const { clientSecretFrom, refreshTokenFrom } = source;
    const secret =
      clientSecretFrom === null ? null : await this.#text(clientSecretFrom, 'client_secret_from');
    if (secret?.ok === false) return secret;
    const kept = this.#refreshTokens.get(key);
    const refresh =
      refreshTokenFrom === null || kept !== undefined
        ? null
        : await this.#text(refreshTokenFrom, 'refresh_token_from');
    if (refresh?.ok === false) return refresh;
    const credentials = { clientSecret: secret?.value ?? null, refreshToken: kept ?? refresh?.value ?? null };
    const { ask, signal } = this.#options;
    const token = await fromTokenEndpoint(source, credentials, ask, signal);
    if (token.ok && token.value.refreshToken !== null) this.#refreshTokens.set(key, token.value.refreshToken);
    return token;
  }
}

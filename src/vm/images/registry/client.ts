/**
 * One repository of a registry, read by the distribution API (OCI distribution-spec 1.1) (shell: HTTP).
 *
 * What the registry is given to know us by goes to its own origin, and to the token service that it names; a redirect
 * to another origin goes without.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode, GatewayError } from '../../../core/errors.js';
import { digestOf, isDiskFull } from '../blobs.js';
import { type Digest, isDigest, MAX_DOCUMENT_BYTES, MEDIA } from '../manifest.js';
import { parseChallenge, tokenUrl } from './challenge.js';
import { mayFollow, type RegistryOrigin } from './origin.js';

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export interface Fetched {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly digest: Digest;
}

const ACCEPT = [MEDIA.manifest, MEDIA.index, MEDIA.dockerManifest, MEDIA.dockerList].join(', ');
const MAX_REDIRECTS = 5;
const MAX_TOKEN_BYTES = 64 * 1024;
/** For a head: an answer's content may take as long as it comes. */
const HEAD_TIMEOUT_MS = 30_000;

export class RepositoryClient {
  readonly #origin: RegistryOrigin;
  readonly #repository: string;
  readonly #credentials: Credentials | null;
  readonly #signal: AbortSignal | undefined;
  #authorization: string | null = null;

  constructor(
    origin: RegistryOrigin,
    repository: string,
    credentials: Credentials | null,
    signal?: AbortSignal,
  ) {
    this.#origin = origin;
    this.#repository = repository;
    this.#credentials = credentials;
    this.#signal = signal;
  }

  /** A manifest or an index, by tag or digest. Throws `IMAGE_NOT_FOUND`, `IMAGE_PULL_FAILED`, `IMAGE_INVALID`. */
  async manifest(reference: string): Promise<Fetched> {
    const response = await this.#request(`manifests/${reference}`, { accept: ACCEPT });
    const bytes = await boundedBody(response, MAX_DOCUMENT_BYTES);
    const digest = digestOf(bytes);
    const said = response.headers.get('docker-content-digest');
    const wanted = isDigest(reference) ? reference : said !== null && isDigest(said) ? said : digest;
    if (digest !== wanted) {
      throw new GatewayError('IMAGE_INVALID', `the manifest ${wanted} came with the digest ${digest}`);
    }
    const mediaType = (response.headers.get('content-type') ?? '').split(';')[0]?.trim() ?? '';
    return { bytes, mediaType, digest };
  }

  /** The bytes of a blob from `offset` on. */
  async blob(digest: Digest, offset: number): Promise<AsyncIterable<Uint8Array>> {
    const range: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
    const response = await this.#request(`blobs/${digest}`, range);
    const isRest = response.status === 206 && isFrom(response.headers.get('content-range') ?? '', offset);
    if (response.status === 206 && !isRest) throw failed(`${digest}: an answer for another range`);
    if (response.body === null) throw failed(`${digest}: an answer without content`);
    return skipping(response.body as unknown as AsyncIterable<Uint8Array>, isRest ? 0 : offset);
  }

  async #request(path: string, headers: Readonly<Record<string, string>>): Promise<Response> {
    const url = new URL(`/v2/${this.#repository}/${path}`, this.#origin.base);
    let response = await this.#followed(url, headers);
    if (response.status === 401) {
      await response.body?.cancel();
      await this.#authenticate(response.headers.get('www-authenticate') ?? '');
      response = await this.#followed(url, headers);
    }
    if (response.status === 200 || response.status === 206) return response;
    await response.body?.cancel();
    throw this.#refusal(response.status, path);
  }

  /** Follows redirects as far as they may lead. */
  async #followed(start: URL, headers: Readonly<Record<string, string>>): Promise<Response> {
    let url = start;
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
      const isOwn = url.origin === this.#origin.base.origin;
      const authorization = isOwn ? this.#authorization : null;
      const response = await this.#fetch(url, {
        ...headers,
        ...(authorization === null ? {} : { authorization }),
      });
      const location = response.headers.get('location');
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null) return response;
      await response.body?.cancel();
      if (!URL.canParse(location, url.href)) throw failed('a redirect to what is no URL');
      const next = new URL(location, url.href);
      if (!mayFollow(url, next))
        throw failed(`a redirect to ${next.origin}, which is not followed from ${url.origin}`);
      url = next;
    }
    throw failed(`more than ${MAX_REDIRECTS} redirects`);
  }

  async #authenticate(field: string): Promise<void> {
    const challenge = parseChallenge(field);
    if (challenge === null) throw failed('it asks for a kind of authentication that is not known here');
    if (challenge.scheme === 'basic') {
      if (this.#credentials === null) throw failed('it asks for a name and a password');
      this.#authorization = basic(this.#credentials);
      return;
    }
    const url = tokenUrl(challenge, this.#repository);
    if (!mayFollow(this.#origin.base, url))
      throw failed(`its token service ${url.origin} is not asked in the clear`);
    const known = this.#credentials;
    const response = await this.#fetch(url, known === null ? {} : { authorization: basic(known) });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw failed(`its token service answered ${response.status}`);
    }
    this.#authorization = `Bearer ${tokenOf(await boundedBody(response, MAX_TOKEN_BYTES))}`;
  }

  async #fetch(url: URL, headers: Readonly<Record<string, string>>): Promise<Response> {
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), HEAD_TIMEOUT_MS);
    const signals = [timeout.signal, ...(this.#signal === undefined ? [] : [this.#signal])];
    try {
      return await fetch(url.href, {
        // What is asked for has a digest: a coding on the way would be one more reader of it.
        headers: { ...headers, 'accept-encoding': 'identity', 'user-agent': 'sallyport' },
        redirect: 'manual',
        signal: AbortSignal.any(signals),
      });
    } catch (cause) {
      this.#signal?.throwIfAborted();
      const reason = timeout.signal.aborted ? 'no answer in time' : reasonOf(cause);
      throw new GatewayError('IMAGE_PULL_FAILED', `${url.origin}: ${reason}`, { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  #refusal(status: number, path: string): GatewayError {
    const what = `${this.#origin.name}/${this.#repository}: ${path}`;
    if (status === 404) return new GatewayError('IMAGE_NOT_FOUND', `${what} is not there`);
    if (status === 401 || status === 403) {
      return failed(
        `${what}: not for us to read${this.#credentials === null ? '; it may need a login' : ''}`,
      );
    }
    return failed(`${what}: it answered ${status}`);
  }
}

/** How often a blob is asked for again after its connection broke; what came before is kept. */
export const BLOB_ATTEMPTS = 4;
const WAIT_MS = 250;

/** Runs `work` again after a failure that another attempt may mend. */
export async function persistently<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      const isFinal = error instanceof GatewayError && error.code !== 'IMAGE_PULL_FAILED';
      if (isFinal || isDiskFull(error) || attempt === BLOB_ATTEMPTS) throw error;
      await sleep(WAIT_MS * 2 ** attempt, undefined, { signal });
    }
  }
}

async function boundedBody(response: Response, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of (response.body ?? []) as unknown as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new GatewayError('IMAGE_INVALID', `an answer of more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function* skipping(chunks: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array> {
  let left = bytes;
  for await (const chunk of chunks) {
    const kept = chunk.subarray(Math.min(left, chunk.length));
    left -= chunk.length - kept.length;
    if (kept.length > 0) yield kept;
  }
}

function isFrom(contentRange: string, offset: number): boolean {
  return new RegExp(`^bytes ${offset}-\\d+/(\\d+|\\*)$`).test(contentRange);
}

function basic({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** RFC 6750 §2.1: what may stand in the field. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;

function tokenOf(bytes: Uint8Array): string {
  const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
  const answer = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  const token = answer.token ?? answer.access_token;
  if (typeof token === 'string' && TOKEN.test(token)) return token;
  throw failed('its token service gave no token');
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return cause instanceof Error && cause.message !== '' ? cause.message : errorCode(cause);
}

function failed(message: string): GatewayError {
  return new GatewayError('IMAGE_PULL_FAILED', message);
}

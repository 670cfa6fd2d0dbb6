/**
 * The cases of `secrets.json`: what each needs of a gateway, and the judgement of what upstream and guest saw. How a
 * case is delivered is `secret-adapter`'s business. Pure.
 */
import type { CorpusFile } from './case.js';

export interface SecretCase {
  readonly id: string;
  readonly category: string;
  readonly transport: 'http' | 'https';
  readonly destination: string;
  readonly sni: string | null;
  readonly expected: 'substituted' | 'blocked' | 'untouched';
  readonly raw_b64?: string;
  /** Offsets at which the bytes are cut. */
  readonly segments?: readonly number[];
  readonly h2?: H2Request;
  readonly ws?: { readonly frames: readonly GuestFrame[] };
  readonly config?: SecretConfig;
  readonly upstream: { readonly contains: readonly string[]; readonly not_contains: readonly string[] };
  readonly upstream_never?: readonly string[];
  readonly client_status?: readonly (number | null)[];
  readonly guest_connects_to?: string;
  readonly dns?: Readonly<Record<string, readonly string[]>>;
  readonly upstream_tls?: 'invalid-cert';
  readonly placeholder_owner?: string;
  readonly interleave?: readonly { readonly vm: string; readonly value: string }[];
}

export interface GuestFrame {
  readonly opcode: number;
  readonly fin?: boolean;
  readonly rsv1?: boolean;
  /** The payload is sent as permessage-deflate writes it (RFC 7692 §7.2.1). */
  readonly deflated?: boolean;
  readonly masked?: boolean;
  readonly payload: string;
}

export interface H2Request {
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string | readonly string[] | null;
  readonly trailers?: readonly (readonly [string, string])[];
}

export interface SecretConfig {
  /** Hosts by secret: those that are not named do not exist. */
  readonly secrets?: Readonly<Record<string, readonly string[]>>;
  readonly inject?: { readonly query?: boolean; readonly body?: boolean; readonly websocket?: boolean };
  readonly allowPlainHttp?: boolean;
  /** Of the rule that allows the destination. */
  readonly paths?: readonly string[];
  readonly methods?: readonly string[];
  /** Of the first secret. */
  readonly secretValue?: string;
  readonly revoked?: readonly string[];
  readonly deleted?: boolean;
  readonly requirePlaceholder?: boolean;
  readonly script?: string;
}

interface MetaSecret {
  readonly placeholder: string;
  readonly value: string;
  readonly hosts: readonly string[];
}

/** What a gateway must be made with. */
export interface SecretPlan {
  readonly policy: { readonly secrets: Readonly<Record<string, object>>; readonly [key: string]: unknown };
  readonly env: Readonly<Record<string, string>>;
  /** The environment to begin with, where the case is about a value that was rotated out. */
  readonly envBefore: Readonly<Record<string, string>>;
  readonly values: readonly string[];
}

/** `own`: placeholders are minted, not the corpus's. */
export function planFor(file: CorpusFile, item: SecretCase, { own = false } = {}): SecretPlan {
  const known = file.meta.secrets as Readonly<Record<string, MetaSecret>>;
  const network = file.meta.network_policy as { readonly allow: string[]; readonly deny: string[] };
  const { config = {} } = item;
  const hosts = config.secrets ?? mapped(known, ({ hosts }) => hosts);
  const secrets = mapped(hosts, (names, name) => ({
    hosts: names,
    ...(!own && { placeholder: known[name]?.placeholder }),
    ...(config.allowPlainHttp && { allow_http: true }),
    ...(config.inject && { in: placesOf(config.inject) }),
    ...(config.requirePlaceholder && name === 'A' && { require_placeholder: true }),
  }));
  const env = mapped(hosts, (_, name) => known[name]?.value ?? '');
  if (config.secretValue !== undefined) env.A = config.secretValue;
  const [old] = config.revoked ?? [];
  const { paths, methods } = config;
  const open = paths === undefined && methods === undefined;
  return {
    policy: {
      allow_domain: open
        ? network.allow
        : [{ domain: item.destination, ...(paths && { paths }), ...(methods && { methods }) }],
      deny_domain: network.deny,
      secrets,
    },
    env,
    envBefore: old === undefined ? env : { ...env, A: old },
    values: [...Object.values(env), ...(config.revoked ?? [])],
  };
}

function placesOf({ query, body, websocket }: NonNullable<SecretConfig['inject']>): string[] {
  return [
    'header',
    'basic',
    ...(query ? ['query'] : []),
    ...(body ? ['body'] : []),
    ...(websocket ? ['websocket'] : []),
  ];
}

function mapped<T, U>(
  from: Readonly<Record<string, T>>,
  to: (value: T, key: string) => U,
): Record<string, U> {
  return Object.fromEntries(Object.entries(from).map(([key, value]) => [key, to(value, key)]));
}

export interface SeenSecret {
  /**
   * Each request that reached an upstream: its head and its content, one character a byte. Of a WebSocket, the handshake
   * and each message; nothing where no message arrived.
   */
  readonly upstream: readonly string[];
  /** Of the answers, in order; empty: the connection ended without one. */
  readonly statuses: readonly number[];
  /** Everything that the guest and the event stream were given. */
  readonly told: string;
  /** The gateway refused to start. */
  readonly rejected: boolean;
}

/** The first word of `seen` is what happened: `forward`, `substitute`, `block`, `tell`. */
export function judgeSecret(
  item: SecretCase,
  { values }: SecretPlan,
  seen: SeenSecret,
): { pass: boolean; seen: string } {
  const text = `${JSON.stringify({ ...seen, told: undefined }).slice(0, 700)}`;
  const told = values.find(value => value.length >= 8 && seen.told.includes(value));
  if (told !== undefined && item.expected !== 'untouched')
    return { pass: false, seen: `tell: a value was told: ${text}` };
  const word = wordFor(item, values, seen);
  const wanted = { substituted: 'substitute', untouched: 'forward', blocked: 'block' }[item.expected];
  const whole = seen.upstream.join('\n');
  const contains = item.upstream.contains.every(part => whole.includes(part));
  const never = [...item.upstream.not_contains, ...(item.upstream_never ?? [])];
  const clean = !never.some(part => whole.includes(part));
  const answered =
    item.expected === 'blocked' ? isRefusal(item, seen) : seen.statuses.length > 0 || isWebSocket(item);
  const pass = word === wanted && contains && clean && answered && isSameContent(item, seen);
  return { pass, seen: `${word}: ${text}` };
}

/** A request before the one that the case is about may be answered. */
function wordFor(item: SecretCase, values: readonly string[], { upstream }: SeenSecret): string {
  if (upstream.length < requestsIn(item)) return 'block';
  const expectsValue = item.upstream.contains.length > 0 && item.expected === 'substituted';
  const carries = values.some(value => upstream.join('\n').includes(value));
  return expectsValue || (carries && item.expected !== 'untouched') ? 'substitute' : 'forward';
}

function requestsIn({ raw_b64 = '', h2 }: SecretCase): number {
  if (h2 !== undefined) return 1;
  const lines = Buffer.from(raw_b64, 'base64').toString('latin1').split('\r\n');
  return Math.max(1, lines.filter(line => line.endsWith(' HTTP/1.1')).length);
}

/** An end without an answer is a refusal too: before the handshake there is nobody to answer. */
function isRefusal({ client_status }: SecretCase, { statuses, rejected }: SeenSecret): boolean {
  const last = statuses.at(-1) ?? null;
  return rejected || last === null || client_status === undefined || client_status.includes(last);
}

/** The recording upstream does not shake hands: what it was asked is what counts. */
function isWebSocket({ category }: SecretCase): boolean {
  return category === 'websocket';
}

/** What is not touched arrives byte for byte. */
function isSameContent(item: SecretCase, { upstream }: SeenSecret): boolean {
  const raw = Buffer.from(item.raw_b64 ?? '', 'base64').toString('latin1');
  const [head = '', ...rest] = raw.split('\r\n\r\n');
  if (item.expected !== 'untouched' || !/^content-length:/im.test(head)) return true;
  return upstream.at(-1)?.endsWith(rest.join('\r\n\r\n')) === true;
}

/**
 * What a policy script is asked at each point where the gateway decides, and what it may answer.
 *
 * A script is asked after the rules and before the secrets: it narrows what the rules allow, or rewrites what is
 * decided again. It sees placeholders, never values. Whatever fails is an answer too, and it is no.
 */
import type { HeaderList } from '../core/headers.js';
import type { Hostname } from '../core/host.js';

/** What went wrong with a script, as an event's `reason` shows it. */
export type ScriptFault =
  | 'script-error' // it threw, or its answer is none
  | 'script-timeout' // it ran longer than `script.timeout_ms`, or was ended so often that it is not asked for a while
  | 'script-memory'; // it needed more than `script.memory_mb`

/** `script`: the script itself says no, and `reason` is its sentence. */
export interface Denial {
  readonly kind: 'deny';
  readonly code: 'script' | ScriptFault;
  readonly reason: string;
}

export type Permission = { readonly kind: 'allow' } | Denial;

export interface ResolveFacts {
  readonly name: Hostname;
  /** `A`, `AAAA`, `TXT` … */
  readonly type: string;
}

export interface ConnectFacts {
  /** The name that the address was given out for; null: the sandbox named an address. */
  readonly host: string | null;
  readonly address: string;
  readonly port: number;
}

export interface TlsFacts {
  readonly sni: string;
  readonly alpn: readonly string[];
}

export interface RequestFacts {
  readonly method: string;
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
  /** Raw, without the query. */
  readonly path: string;
  /** Raw, without the question mark; empty where there is none. */
  readonly query: string;
  readonly headers: HeaderList;
  /** Announced length of the content, 0 for none; null: it is not known beforehand. */
  readonly bodyBytes: number | null;
  /** The whole content as text, where the rule asks for it with `script_body`. */
  readonly body: string | null;
}

/** Why a response's content is not shown although the rule asks for it. */
export type BodyOmitted = 'too-long' | 'not-text' | 'coded' | 'stream';

export interface ResponseFacts {
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: string | null;
  readonly bodyOmitted: BodyOmitted | null;
  readonly request: RequestFacts;
}

export interface MessageFacts {
  /** `sent` by the sandbox, or `received` by it. */
  readonly direction: 'sent' | 'received';
  readonly kind: 'text' | 'binary' | 'sse';
  /** Null for a binary message. */
  readonly text: string | null;
  readonly bytes: number;
  readonly request: RequestFacts;
}

/** Fields to set (all of that name are replaced), by name as written; no value: the field is taken away. */
export type HeaderPatch = ReadonlyMap<string, readonly string[]>;

export interface RequestRewrite {
  readonly kind: 'rewrite';
  readonly headers: HeaderPatch;
  /** Null: as it is. */
  readonly path: string | null;
  readonly query: string | null;
}

export interface Respond {
  readonly kind: 'respond';
  readonly status: number;
  readonly headers: HeaderPatch;
  readonly body: string;
}

export type RequestAnswer = Permission | RequestRewrite | Respond;

export type ResponseAnswer =
  | { readonly kind: 'pass' }
  | { readonly kind: 'rewrite'; readonly headers: HeaderPatch }
  | Denial;

export type MessageAnswer = { readonly kind: 'pass' } | Denial;

/** Null: the script does not define it, and nothing is asked. */
export type Hook<Facts, Answer> = ((facts: Facts) => Promise<Answer>) | null;

/** One sandbox's script. No hook ever rejects: a failure is a denial. */
export interface PolicyScript {
  readonly onResolve: Hook<ResolveFacts, Permission>;
  readonly onConnect: Hook<ConnectFacts, Permission>;
  readonly onTls: Hook<TlsFacts, Permission>;
  readonly onRequest: Hook<RequestFacts, RequestAnswer>;
  readonly onResponse: Hook<ResponseFacts, ResponseAnswer>;
  readonly onMessage: Hook<MessageFacts, MessageAnswer>;
  /** What to write beside an event, one text each. A failure is a denial, and the event stays as it is. */
  readonly onEvent: Hook<object, readonly string[] | Denial>;
}

export type HookName = keyof PolicyScript;

export const HOOKS: readonly HookName[] = Object.freeze([
  'onResolve',
  'onConnect',
  'onTls',
  'onRequest',
  'onResponse',
  'onMessage',
  'onEvent',
]);

/** What one script may use. */
export interface ScriptLimits {
  /** Wall clock of one call, in milliseconds. */
  readonly timeoutMs: number;
  /** Of QuickJS's heap, in MiB. */
  readonly memoryMb: number;
}

export const SCRIPT_LIMITS: ScriptLimits = Object.freeze({ timeoutMs: 50, memoryMb: 16 });

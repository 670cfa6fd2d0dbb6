/**
 * What a Sallyport policy script is given and may answer. For editors; in a script, write
 *
 *     /// <reference path="…/sallyport/types/policy-script.d.ts" />
 *     // @ts-check
 *
 * Everything here is global: a script imports nothing but files beside it.
 */

/** What the script keeps between calls: JSON, at most 65,536 characters; one for each sandbox. */
declare const state: Record<string, unknown>;

/** Writes a line to the event stream (`script.log`), at most 16 a call and 1,024 characters each. */
declare function log(...parts: unknown[]): void;

/** Milliseconds since the Unix epoch, the same during one call. `Date` follows it, in UTC. */
declare function now(): number;

declare namespace PolicyScript {
  /** Header names are lower case; fields of one name are joined with `, ` (cookies with `; `). */
  type Headers = Readonly<Record<string, string | undefined>>;

  interface Request {
    readonly method: string;
    readonly url: string;
    readonly scheme: 'http' | 'https';
    readonly host: string;
    readonly port: number;
    /** Without the query. */
    readonly path: string;
    /** Without the question mark; empty where there is none. */
    readonly query: string;
    /** Secrets are placeholders here. */
    readonly headers: Headers;
    /** Announced length of the content, 0 for none; null: it is not known beforehand. */
    readonly bodyBytes: number | null;
    /** The whole content, where the rule has `script_body`. */
    readonly body?: string;
  }

  interface Response {
    readonly status: number;
    readonly headers: Headers;
    /** The whole content, where the rule has `script_body` and it can be shown. */
    readonly body?: string;
    /** Why it cannot. */
    readonly bodyOmitted?: 'too-long' | 'not-text' | 'coded' | 'stream';
    readonly request: Omit<Request, 'body'>;
  }

  interface Message {
    /** `sent` by the sandbox, or `received` by it. */
    readonly direction: 'sent' | 'received';
    /** A WebSocket message, or the data of one server-sent event. */
    readonly kind: 'text' | 'binary' | 'sse';
    /** Absent for a binary message. */
    readonly text?: string;
    readonly bytes: number;
    readonly request: Omit<Request, 'body'>;
  }

  interface Event {
    readonly type: string;
    readonly sandbox: string | null;
    readonly network: Readonly<Record<string, unknown>>;
  }

  interface Deny {
    /** One sentence, for the sandbox and the event. */
    readonly deny: string;
  }

  /** A text replaces all fields of that name, a list too, null takes them away. */
  type HeaderChanges = Readonly<Record<string, string | readonly string[] | null>>;

  type Permission = { readonly allow: true } | Deny;

  type RequestAnswer =
    | Permission
    | {
        readonly rewrite: {
          readonly headers?: HeaderChanges;
          readonly path?: string;
          readonly query?: string;
        };
      }
    | {
        readonly respond: {
          readonly status?: number;
          readonly headers?: HeaderChanges;
          readonly body?: string;
        };
      };

  type ResponseAnswer =
    | { readonly pass: true }
    | Deny
    | { readonly rewrite: { readonly headers: HeaderChanges } };

  type MessageAnswer = { readonly pass: true } | Deny;

  type OnResolve = (query: { readonly name: string; readonly type: string }) => Permission;
  type OnConnect = (target: {
    readonly host: string | null;
    readonly address: string;
    readonly port: number;
  }) => Permission;
  type OnTls = (hello: { readonly sni: string; readonly alpn: readonly string[] }) => Permission;
  type OnRequest = (request: Request) => RequestAnswer;
  type OnResponse = (response: Response) => ResponseAnswer;
  type OnMessage = (message: Message) => MessageAnswer;
  type OnEvent = (event: Event) => { readonly annotate: readonly string[] } | undefined;

  interface Expectation {
    allows(): void;
    /** `onResponse` and `onMessage`. */
    passes(): void;
    /** The script says no, and its sentence holds `reason`. */
    denies(reason?: string): void;
    /** The script failed. */
    fails(code?: 'script-error' | 'script-timeout' | 'script-memory'): void;
    /** With at least these changes. */
    rewrites(changes?: {
      headers?: Record<string, string | string[] | null>;
      path?: string;
      query?: string;
    }): void;
    responds(answer?: { status?: number; headers?: Record<string, string | string[]>; body?: string }): void;
    annotates(notes: readonly string[]): void;
  }

  interface ExampleRequest {
    readonly url: string;
    /** Default GET. */
    readonly method?: string;
    readonly headers?: Readonly<Record<string, string | readonly string[]>>;
    readonly body?: string;
    /** Null: a content whose length is not told. Default: that of `body`. */
    readonly bodyBytes?: number | null;
  }
}

/** In a file of examples only (`*.test.js`). */
declare const example: {
  (request: PolicyScript.ExampleRequest): PolicyScript.Expectation;
  onRequest(request: PolicyScript.ExampleRequest): PolicyScript.Expectation;
  onResponse(response: {
    status?: number;
    headers?: Readonly<Record<string, string | readonly string[]>>;
    body?: string;
    bodyOmitted?: PolicyScript.Response['bodyOmitted'];
    request?: PolicyScript.ExampleRequest;
  }): PolicyScript.Expectation;
  onMessage(message: {
    direction?: PolicyScript.Message['direction'];
    /** Default `sse`. */
    kind?: PolicyScript.Message['kind'];
    text?: string;
    bytes?: number;
    request?: PolicyScript.ExampleRequest;
  }): PolicyScript.Expectation;
  onResolve(query: { name: string; type?: string }): PolicyScript.Expectation;
  onConnect(target: { host?: string; address?: string; port?: number }): PolicyScript.Expectation;
  onTls(hello: { sni: string; alpn?: readonly string[] }): PolicyScript.Expectation;
  onEvent(event: object): PolicyScript.Expectation;
  /** The time of the examples that follow. Before it: 2026-01-07T12:00:00Z, a Wednesday. */
  at(time: string | number): void;
  /** The examples that follow are asked for a new sandbox, whose `state` is empty. */
  fresh(): void;
};

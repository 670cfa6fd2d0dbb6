/** What the bench tells a load agent, and what it is told: one JSON value a line, each way. */

/** Where an agent connects, and as what. */
export interface Route {
  /**
   * `direct`: to the upstream's port at `address`. `connect`: to the proxy at `address` and `port`, then CONNECT.
   * `resolve`: to the name itself, as a program in a sandbox does.
   */
  readonly via: 'direct' | 'connect' | 'resolve';
  readonly address: string;
  readonly port: number;
  /** The upstream's ports as the client names them. */
  readonly filesPort: number;
  readonly sinkPort: number;
  /** PEM file of what signs the certificates; `$NAME` is a variable of the agent's environment. */
  readonly ca: string;
  /** What CONNECT asks for instead of the name, where a proxy cannot be told what the name stands for. */
  readonly connectTo?: string;
}

export type Work =
  | { readonly kind: 'keep-alive'; readonly clients: number; readonly seconds: number }
  | { readonly kind: 'handshakes'; readonly clients: number; readonly seconds: number }
  | { readonly kind: 'first-visits'; readonly from: number; readonly hosts: number }
  | { readonly kind: 'download'; readonly path: string; readonly bytes: number }
  | { readonly kind: 'upload'; readonly bytes: number; readonly chunked: boolean }
  | { readonly kind: 'idle'; readonly clients: number }
  | { readonly kind: 'h2'; readonly clients: number; readonly streams: number; readonly seconds: number };

export interface Command {
  readonly route: Route;
  readonly work: Work;
}

export interface Outcome {
  /** Requests that were answered as they should be. */
  readonly count: number;
  /** Content that was moved and found good. */
  readonly bytes: number;
  readonly seconds: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** What went wrong, and how often. */
  readonly errors: Readonly<Record<string, number>>;
}

/** `begin` comes when the connections stand and the clock starts. */
export type Report =
  | { readonly event: 'ready' }
  | { readonly event: 'begin' }
  | { readonly event: 'end'; readonly outcome: Outcome }
  | { readonly event: 'failed'; readonly message: string };

/** Names that the upstream's certificate holds and every peer can reach. */
export const FILES_HOST = 'files.bench.test';
export const SINK_HOST = 'sink.bench.test';
export const visitedHost = (number: number): string => `h${number}.bench.test`;
/** Most hosts that one run may visit. */
export const VISITED_HOSTS = 6_000;

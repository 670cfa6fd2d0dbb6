/** What the bench compares: something that listens, and how the load reaches the upstream through it. */
import type { Agent } from '../child.js';
import type { Route } from '../load/command.js';
import type { Workshop } from '../workshop.js';

export interface Setting {
  readonly shop: Workshop;
  /** Root of the repository. */
  readonly root: string;
  /** A load agent on the host, of this peer alone; a peer with a sandbox brings its own. */
  readonly hostAgent: () => Promise<Agent>;
  /** First of a hundred ports that are the bench's. */
  readonly port: number;
  /** Processors for what is measured and for everything else. */
  readonly measured: string | null;
  readonly others: string | null;
}

export interface Running {
  readonly agent: Agent;
  /** By the name that stands in the table. */
  readonly routes: ReadonlyMap<string, Route>;
  /** Whose processor time and memory are the peer's. */
  pids(): readonly number[];
  stop(): Promise<void>;
  /** Cannot speak HTTP/2 to the load. */
  readonly h2?: boolean;
}

export interface Peer {
  readonly name: string;
  /** The names of its routes, so that the table has a row where it is not installed. */
  readonly columns: readonly string[];
  /** A second is enough for what it does in one. */
  readonly slow?: boolean;
  /** Why it cannot run here, or null. */
  missing(root: string): string | null;
  start(setting: Setting): Promise<Running>;
}

export const FILES_PORT = 0;
export const SINK_PORT = 1;

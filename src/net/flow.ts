/** The inner door: what every form of it (vestibule, user-space stack) gives to the proxy. */
import type { Duplex } from 'node:stream';
import type { Endpoint } from '../core/address.js';
import type { Hostname } from '../core/host.js';

/** Identity of a sandbox: the link it came in on, never something that it wrote. */
export type SandboxId = string;

/** One TCP connection of one sandbox. Exactly one of `accept` and `refuse` is called, once. */
export interface Flow {
  readonly id: string;
  readonly sandbox: SandboxId;
  readonly source: Endpoint;
  /** Where the sandbox wanted to go. */
  readonly target: Endpoint;
  /** The name that our resolver gave out for `target.address`, or null: then the sandbox named an address. */
  readonly host: Hostname | null;
  /** The bytes; `allowHalfOpen` is set. The caller owns it from here on. */
  accept(): Duplex;
  /** Ends the connection with a reset. */
  refuse(): void;
}

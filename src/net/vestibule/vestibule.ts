/**
 * The inner door's first form: what a sandbox's namespace looks like to those who open, fill and judge it.
 *
 * Two network namespaces, one inside the other: the `gate` holds the rules and the sockets, the `cell` holds the
 * sandbox. No interface of either leads anywhere but to the other, so without the gateway there is no network.
 */
import type { Socket as DatagramSocket } from 'node:dgram';
import type { IpAddress } from '../../core/address.js';
import type { Hostname } from '../../core/host.js';
import type { Flow, SandboxId } from '../flow.js';
import type { PortRange } from './ports.js';
import type { Refusal } from './refusals.js';
import type { Tap } from './tap.js';
import type { TapLease } from './tap-rules.js';
import type { Tools } from './tools.js';

export interface VestibuleOptions {
  readonly sandbox: SandboxId;
  /**
   * The TCP ports that some rule can allow; a connect to any other is refused by the kernel, at once. Port 53 is
   * always open: it is the resolver's. Without nft there may be `PLAIN_PORTS` of them.
   */
  readonly allowedPorts: readonly PortRange[];
  /** The name that the sandbox's resolver gave out for `address`, or null. */
  nameOf(address: IpAddress): Hostname | null;
  /** One TCP connection to any port but 53. */
  onFlow(flow: Flow): void;
  /** One TCP connection to port 53 of any address. */
  onDnsTcp(flow: Flow): void;
  /** Called once for each address family, before the door opens: datagrams to port 53 of any address. */
  onDnsUdp(socket: DatagramSocket): void;
  /** The programs to use; by default those of the machine, looked for in the administrator's folders. */
  readonly tools?: Tools;
  /** A machine's link, with these addresses, in place of the interface that a process has in its cell. */
  readonly tap?: TapLease;
  /** Closes the door. */
  readonly signal?: AbortSignal;
}

/** Where a program is started to be in the cell. */
export interface Cell {
  /** A process in the cell, alive as long as the door is open. */
  readonly pid: number;
  /** The door's own user namespace is to be entered first; false where the machine has none and we are root. */
  readonly userNamespace: boolean;
  /** The sandbox has IPv6 too. */
  readonly ipv6: boolean;
  /** Where the programs that lead into the cell were found. */
  readonly tools: Tools;
}

export interface Vestibule extends AsyncDisposable {
  readonly sandbox: SandboxId;
  readonly cell: Cell;
  /** Null unless it was asked for: then the cell itself has no interface. */
  readonly tap: Tap | null;
  /** Replaces the TCP ports that are not refused at once. Connections that are open stay. */
  reloadPorts(ports: readonly PortRange[]): Promise<void>;
  /**
   * What the kernel refused since the door was opened, by protocol, address and port; at most a thousand different
   * ones are told apart. One call costs about ten milliseconds of a child process. A door without nft knows none.
   */
  refusals(): Promise<readonly Refusal[]>;
  /** Resolves when the door is closed, by us or because its namespace ended: the sandbox has no network then. */
  readonly closed: Promise<void>;
  /** Ends every process of the door and resets its connections. Resolves when nothing is left. */
  close(): Promise<void>;
}

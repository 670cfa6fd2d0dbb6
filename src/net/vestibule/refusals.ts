/**
 * What the kernel refused in the cell, read back from its ruleset's sets.
 *
 * Pure: text of `nft -n list table` in, records out.
 */

/** Packets of one kind to one place that never left the sandbox. */
export interface Refusal {
  /** `udp`, `tcp`, `icmp`, `sctp` … or `ip-N` for a protocol without a name here. */
  readonly protocol: string;
  /** Canonical text. */
  readonly address: string;
  /** 0 for protocols without ports. */
  readonly port: number;
  readonly packets: number;
  readonly bytes: number;
}

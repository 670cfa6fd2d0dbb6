/** Sets of TCP ports, as the kernel's ruleset takes them. Pure. */

export interface PortRange {
  readonly from: number;
  /** Inclusive. */
  readonly to: number;
}

export const ANY_PORT: readonly PortRange[] = Object.freeze([{ from: 1, to: 65_535 }]);

/** DNS over TCP (RFC 7766) is always open: its questions are decided one by one. */
const DNS_PORT: PortRange = { from: 53, to: 53 };

/**
 * The ranges with DNS added, sorted, and merged where they touch: an interval set must not overlap.
 * Throws `RangeError` for a range that is empty or outside 1-65535.
 */
export function mergePorts(ranges: readonly PortRange[]): readonly PortRange[] {
  const merged: PortRange[] = [];
  for (const range of [...ranges, DNS_PORT].sort((a, b) => a.from - b.from)) {
    assertRange(range);
    const last = merged.at(-1);
    if (last === undefined || range.from > last.to + 1) merged.push(range);
    else merged[merged.length - 1] = { from: last.from, to: Math.max(last.to, range.to) };
  }
  return merged;
}

function assertRange({ from, to }: PortRange): void {
  if (Number.isInteger(from) && Number.isInteger(to) && from >= 1 && from <= to && to <= 65_535) return;
  throw new RangeError(`not a range of ports: ${from}-${to}`);
}

/** `53, 80, 8000-8999`: the elements of an nftables set. */
export function emitPorts(ranges: readonly PortRange[]): string {
  return mergePorts(ranges)
    .map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`))
    .join(', ');
}

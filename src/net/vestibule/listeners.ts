/** The listeners of a door, and which of them a change of the policy's ports opens and closes. */
import type { Arrivals } from './arrivals.js';
import { type Gate, openListeners } from './gate.js';
import { plainPorts } from './plain.js';
import type { PortRange } from './ports.js';
import type { Tools } from './tools.js';

export interface Listeners {
  /** Of a plain door: listens on just `ranges`. `enter` are nsenter's arguments. Connections that are open stay. */
  change(tools: Tools, enter: readonly string[], ranges: readonly PortRange[]): Promise<void>;
}

/** Begins to accept on all sockets of `gate`. */
export function createListeners({ servers, ipv6 }: Gate, arrivals: Arrivals): Listeners {
  const stops = new Map([...servers].map(([port, server]) => [port, arrivals.listen(server)] as const));
  return {
    async change(tools, enter, ranges) {
      const wanted = new Set(plainPorts(ranges));
      const missing = [...wanted].filter(port => !stops.has(port));
      const opened = missing.length === 0 ? [] : await openListeners(tools, enter, missing, { ipv6 });
      for (const [port, stop] of stops) {
        if (wanted.has(port)) continue;
        stop();
        stops.delete(port);
      }
      for (const [port, server] of opened) stops.set(port, arrivals.listen(server));
    },
  };
}

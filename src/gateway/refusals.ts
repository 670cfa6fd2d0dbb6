/** What the kernel refused in a sandbox, with the names that its resolver gave. Pure: counters and names are passed in. */
import { parseAddress } from '../core/address.js';
import type { DnsRoom } from '../dns/room.js';
import type { Emit } from '../events/event.js';
import type { SandboxId } from '../net/flow.js';
import { createRefusedPackets, type RefusedPackets } from '../proxy/refused-packets.js';

interface Refused {
  readonly id: SandboxId;
  readonly dns: DnsRoom;
}

/** `generation`: of the policy that is in force. */
export function refusalsOf({ id, dns }: Refused, emit: Emit, generation: () => number): RefusedPackets {
  return createRefusedPackets(id, emit, {
    generation,
    nameOf: text => {
      const address = parseAddress(text);
      return address.ok ? dns.nameOf(address.value) : null;
    },
  });
}

/**
 * The evidence of what the kernel refused in the sandbox's own namespace: it never became a flow, and it is on record
 * all the same. Pure: the caller lists the refusals, as often as it likes.
 */
import type { Emit, NetworkEvent } from '../events/event.js';
import type { SandboxId } from '../net/flow.js';
import { type Refusal, refusalKind } from '../net/vestibule/refusals.js';

export interface RefusedPackets {
  /** `refusals` are counted from the beginning: what is new since the last call becomes one event for each target. */
  note(refusals: readonly Refusal[]): void;
}

export function createRefusedPackets(
  sandbox: SandboxId,
  emit: Emit,
  known: { readonly nameOf: (address: string) => string | null; readonly generation: () => number },
): RefusedPackets {
  const noted = new Map<string, Refusal>();
  return {
    note(refusals) {
      for (const refusal of refusals) {
        const key = `${refusal.protocol} ${refusal.address} ${refusal.port}`;
        const before = noted.get(key);
        if (before !== undefined && before.packets >= refusal.packets) continue;
        noted.set(key, refusal);
        const bytes = refusal.bytes - (before?.bytes ?? 0);
        const host = known.nameOf(refusal.address) ?? refusal.address;
        const network = factsOf({ ...refusal, bytes }, host, known.generation());
        emit({ type: 'flow.refused', sandbox, network });
      }
    },
  };
}

function factsOf(refusal: Refusal, host: string, generation: number): NetworkEvent {
  const { protocol, port, bytes } = refusal;
  const tcp = protocol === 'tcp';
  return {
    layer: tcp ? 'tcp' : 'udp',
    decision: 'deny',
    flow: null,
    request: null,
    method: '',
    url: '',
    host,
    port,
    status_code: 0,
    request_bytes: bytes,
    response_bytes: 0,
    duration_ms: 0,
    blocked: true,
    block_reason: reasonOf(refusal),
    reason: tcp ? 'port-not-allowed' : 'not-carried',
    rule: null,
    destination: null,
    protocol,
    secrets: [],
    generation,
  };
}

function reasonOf(refusal: Refusal): string {
  const { protocol, port, address } = refusal;
  if (protocol === 'tcp') return `no rule names TCP port ${port}, so the connection was refused at once`;
  if (protocol === 'forged')
    return `the machine sent packets as ${address}, with an address or a MAC that is not its own`;
  if (protocol === 'malformed')
    return 'the machine sent frames of a kind that no machine on this link has to send';
  return `only TCP and DNS leave a sandbox, not ${nameOf(refusal)}`;
}

function nameOf(refusal: Refusal): string {
  const kind = refusalKind(refusal);
  return kind === refusal.protocol ? kind : `${refusal.protocol} (${kind})`;
}

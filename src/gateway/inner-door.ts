/** What a flow is before it is judged: paced as its sandbox's limits say, and perhaps for the gate itself. Pure. */
import type { Flow } from '../net/flow.js';
import { GATE_IPV4, GATE_IPV6 } from '../net/vestibule/ruleset.js';
import type { Limits } from '../proxy/limits/limits.js';

export function pacedFlow(flow: Flow, limits: Limits): Flow {
  return { ...flow, accept: () => limits.pace(flow.accept()), refuse: () => flow.refuse() };
}

/** Is `address` the gate's own, where the explicit proxy is? */
export function isGate(address: string): boolean {
  return address === GATE_IPV4 || address === GATE_IPV6;
}

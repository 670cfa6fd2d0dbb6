/** Where a flow of the inner door enters the corridor: counted, paced as its sandbox's limits say, and perhaps for the gate itself. */
import type { DnsRoom } from '../dns/room.js';
import type { Flow } from '../net/flow.js';
import { GATE_IPV4, GATE_IPV6 } from '../net/vestibule/ruleset.js';
import { acceptFlow, acceptProxyFlow, refuseFlow } from '../proxy/accept.js';
import type { ProxyContext } from '../proxy/context.js';
import type { Limits } from '../proxy/limits/limits.js';
import { PROXY_PORT } from './of-policy.js';

/** Serves one flow to its end. Never rejects. */
export function enterCorridor(flow: Flow, context: ProxyContext, dns: DnsRoom): Promise<void> {
  const { address, port } = flow.target;
  const release = context.limits.admitFlow();
  if (release === null) {
    refuseFlow(flow, context);
    return Promise.resolve();
  }
  dns.retain(address);
  const paced = pacedFlow(flow, context.limits);
  const toProxy = port === PROXY_PORT && isGate(address.text);
  const served = toProxy ? acceptProxyFlow(paced, context) : acceptFlow(paced, context);
  const leave = (): void => {
    dns.release(address);
    release();
  };
  // Not awaited: each flow that is open would keep one frame more.
  return served.then(leave, leave);
}

function pacedFlow(flow: Flow, limits: Limits): Flow {
  if (!limits.paces()) return flow;
  return { ...flow, accept: () => limits.pace(flow.accept()), refuse: () => flow.refuse() };
}

/** Is `address` the gate's own, where the explicit proxy is? */
function isGate(address: string): boolean {
  return address === GATE_IPV4 || address === GATE_IPV6;
}

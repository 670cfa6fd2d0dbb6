/** Connections that come in through a port forward, as events. Pure. */
import type { Emit } from '../events/event.js';
import type { ForwardEvent } from '../net/forwards/index.js';

/** What tells `emit` of each. */
export function tellForwards(sandbox: string, emit: Emit): (event: ForwardEvent) => void {
  return ({ type, peer, forward, receivedBytes, sentBytes }) => {
    const { protocol, hostIp, hostPort, guestPort } = forward;
    const bytes =
      type === 'closed' && protocol === 'tcp' ? [`${receivedBytes} bytes in, ${sentBytes} out`] : [];
    emit({
      type: `forward.${type}`,
      sandbox,
      gateway: {
        message: `${peer} by ${protocol} ${hostIp}:${hostPort} to port ${guestPort}`,
        detail: bytes,
      },
    });
  };
}

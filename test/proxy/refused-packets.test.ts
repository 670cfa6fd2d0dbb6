import type { EventBody } from '../../src/events/event.js';
import { createRefusedPackets } from '../../src/proxy/refused-packets.js';

const QUIC = { protocol: 'udp', address: '198.18.0.1', port: 443, packets: 2, bytes: 2_400 };
const SSH = { protocol: 'tcp', address: '198.18.0.2', port: 22, packets: 1, bytes: 60 };
const KNOWN = {
  nameOf: (address: string) => (address === SSH.address ? 'git.example.test' : null),
  generation: () => 7,
};
const PING = { protocol: 'icmp', address: '198.18.0.3', port: 0, packets: 1, bytes: 84 };

function record(): {
  readonly events: EventBody[];
  readonly packets: ReturnType<typeof createRefusedPackets>;
} {
  const events: EventBody[] = [];
  return {
    events,
    packets: createRefusedPackets('box', event => void events.push(event), KNOWN),
  };
}

test('each target that was refused is one event that names what it was', () => {
  const { events, packets } = record();
  packets.note([QUIC, SSH, PING]);
  expect(events.map(({ network }) => [network?.layer, network?.reason, network?.block_reason])).toEqual([
    ['udp', 'not-carried', 'only TCP and DNS leave a sandbox, not udp (quic)'],
    ['tcp', 'port-not-allowed', 'no rule names TCP port 22, so the connection was refused at once'],
    ['udp', 'not-carried', 'only TCP and DNS leave a sandbox, not icmp'],
  ]);
  expect(events[1]?.network).toMatchObject({ host: 'git.example.test', port: 22 });
  expect(events[0]).toMatchObject({
    type: 'flow.refused',
    sandbox: 'box',
    network: {
      host: '198.18.0.1',
      port: 443,
      request_bytes: 2_400,
      blocked: true,
      generation: 7,
      flow: null,
    },
  });
});

test('a target is told again only when more of it was refused, and then only the more', () => {
  const { events, packets } = record();
  packets.note([QUIC]);
  packets.note([QUIC]);
  expect(events).toHaveLength(1);
  packets.note([{ ...QUIC, packets: 3, bytes: 3_600 }]);
  expect(events.map(({ network }) => network?.request_bytes)).toEqual([2_400, 1_200]);
});

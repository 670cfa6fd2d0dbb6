import { once } from 'node:events';
import type { OutboundRequest } from '../../../src/proxy/connection.js';
import { acceptOf } from '../../../src/proxy/http1/handshake.js';
import { ask, closeWires, codeOf, outbound } from './client-harness.js';

afterEach(closeWires);

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const SWITCH = `HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(KEY)}\r\n`;

function handshake(...fields: [string, string][]): OutboundRequest {
  const headers = [['Sec-WebSocket-Version', '13'], ['Sec-WebSocket-Key', KEY], ...fields] as [
    string,
    string,
  ][];
  return outbound({ headers }, { upgrade: 'websocket' });
}

test('a proven 101 gives the raw bytes, those included that came early', async () => {
  const { answer, received, connection } = await ask(`${SWITCH}\r\nearly`, handshake());
  expect(received()).toContain('Upgrade: websocket\r\nConnection: Upgrade\r\n');
  const { upgraded } = answer;
  if (upgraded === null) throw new Error('no raw bytes');
  upgraded.resume();
  const [first] = await once(upgraded, 'data');
  expect([String(first), connection.closed]).toEqual(['early', true]);
});

const extension = (value: string): string => `Sec-WebSocket-Extensions: ${value}\r\n`;
const OFFER: [string, string] = ['Sec-WebSocket-Extensions', 'permessage-deflate; client_max_window_bits'];

const switches: readonly [string, OutboundRequest, string, boolean][] = [
  [
    'an offered protocol',
    handshake(['Sec-WebSocket-Protocol', 'a, b']),
    `${SWITCH}Sec-WebSocket-Protocol: b\r\n\r\n`,
    true,
  ],
  ['a protocol that was not offered', handshake(), `${SWITCH}Sec-WebSocket-Protocol: b\r\n\r\n`, false],
  [
    'an offered extension',
    handshake(OFFER),
    `${SWITCH}${extension('permessage-deflate; server_max_window_bits=15')}\r\n`,
    true,
  ],
  [
    'a window that no window is',
    handshake(OFFER),
    `${SWITCH}${extension('permessage-deflate; server_max_window_bits=99')}\r\n`,
    false,
  ],
  [
    'an extension twice',
    handshake(OFFER),
    `${SWITCH}${extension('permessage-deflate, permessage-deflate')}\r\n`,
    false,
  ],
  ['a wrong proof', handshake(), `${SWITCH.replace(acceptOf(KEY), 'AAAA')}\r\n`, false],
  ['two proofs', handshake(), `${SWITCH}Sec-WebSocket-Accept: ${acceptOf(KEY)}\r\n\r\n`, false],
  ['a 101 that is not nominated', handshake(), `${SWITCH.replace('Connection: Upgrade\r\n', '')}\r\n`, false],
  ['a 101 to another protocol', handshake(), `${SWITCH.replace('websocket', 'h2c')}\r\n`, false],
];

for (const [name, request, bytes, works] of switches) {
  test(`Http1Connection ${works ? 'switches for' : 'does not switch for'} ${name}`, async () => {
    expect(await codeOf(ask(bytes, request))).toBe(works ? 'none' : 'UPSTREAM_PROTOCOL');
  });
}

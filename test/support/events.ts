/** Events for tests: a whole one by default, so that a test says only what differs. */
import { EVENT_VERSION, type Event, type EventBody, type NetworkEvent } from '../../src/events/event.js';

export function networkOf(differs: Partial<NetworkEvent> = {}): NetworkEvent {
  return {
    layer: 'http',
    decision: 'allow',
    flow: 'f1',
    request: 'r1',
    method: 'GET',
    url: 'https://allowed.test/p',
    host: 'allowed.test',
    port: 443,
    status_code: 200,
    request_bytes: 120,
    response_bytes: 2_048,
    duration_ms: 12.5,
    blocked: false,
    reason: null,
    rule: 'allow_domain[0]',
    destination: '93.184.216.34:443',
    protocol: 'http/1.1',
    secrets: [],
    generation: 1,
    ...differs,
  };
}

export function allowedBody(differs: Partial<NetworkEvent> = {}): EventBody {
  return { type: 'request.done', sandbox: 'sb1', network: networkOf(differs) };
}

export function refusedBody(differs: Partial<NetworkEvent> = {}): EventBody {
  const refused = {
    decision: 'deny',
    blocked: true,
    status_code: 403,
    reason: 'no-rule',
    rule: null,
  } as const;
  const network = networkOf({
    ...refused,
    destination: null,
    block_reason: 'no rule allows this host',
    ...differs,
  });
  return { type: 'request.refused', sandbox: 'sb1', network };
}

export function numbered(body: EventBody, seq: number): Event {
  const head = { version: EVENT_VERSION, id: `g1-${seq}`, gateway_id: 'g1' } as const;
  return { ...head, ...body, seq, timestamp: 1_700_000_000_000 + seq };
}

/**
 * A gateway in a process of its own for `growth.ts`: everything on, with as many sandboxes as it is told, each behind a
 * port of its own. Prints the ports, the placeholders and its certificate; ends with its standard input.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { addressFromBytes } from '../src/core/address.js';
import { systemClock } from '../src/core/clock.js';
import { openFileSink } from '../src/events/file-sink.js';
import { type Admitted, createGateway } from '../src/gateway.js';
import { documentFrom } from '../src/policy/document.js';
import { Ca } from '../src/proxy/tls/ca.js';
import { trustRoots } from '../src/proxy/upstream/trust.js';
import { boundPauses } from '../src/runtime/collector.js';
import { literalsOf, policyOf } from './peers/setup.js';

export interface GrowthOptions {
  readonly sandboxes: number;
  /** First of the bench's ports: the upstream stands behind it. */
  readonly port: number;
  readonly upstreamCa: string;
  readonly folder: string;
}

export interface GrowthDoors {
  readonly caPem: string;
  readonly doors: readonly { readonly port: number; readonly token: string }[];
}

const TARGET = { address: addressFromBytes(Uint8Array.of(198, 18, 0, 1)), port: 443 };

boundPauses();
const { sandboxes, port, upstreamCa, folder } = JSON.parse(process.argv[2] ?? '{}') as GrowthOptions;
const document = documentFrom(policyOf({ port, all: true }), 'bench');
if (!document.ok) throw new Error(JSON.stringify(document.error));
const ca = Ca.ephemeral();
const gateway = await createGateway({
  layers: [document.value],
  ca,
  trust: trustRoots([readFileSync(upstreamCa, 'utf8')]),
  env: Object.fromEntries(literalsOf()),
  sinks: [await openFileSink({ path: join(folder, `events-${sandboxes}.jsonl`), clock: systemClock })],
});
const doors: { port: number; token: string }[] = [];
for (let number = 0; number < sandboxes; number++)
  doors.push(await openDoor(gateway.admit(`bench${number}`)));
process.stdout.write(`${JSON.stringify({ caPem: ca.certPem, doors } satisfies GrowthDoors)}\n`);
process.stdin.resume().once('end', () => process.exit(0));

async function openDoor({ id, accept, environment }: Admitted): Promise<{ port: number; token: string }> {
  let flows = 0;
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, socket => {
    socket.on('error', () => undefined);
    void accept({
      id: `${id}-${++flows}`,
      sandbox: id,
      source: TARGET,
      target: TARGET,
      host: null,
      accept: () => socket,
      refuse: () => void socket.resetAndDestroy(),
    });
  });
  await once(server.listen(0, '127.0.0.1', 1_024), 'listening');
  const token = environment(Object.fromEntries(literalsOf())).BENCH_TOKEN ?? '';
  return { port: (server.address() as AddressInfo).port, token };
}

/** A real rsyslogd on loopback, over TLS, reads what the sink sends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeEvent } from '../../src/events/encode.js';
import type { Event } from '../../src/events/event.js';
import { trustRoots } from '../../src/proxy/upstream/trust.js';
import { createSyslog } from '../../src/sinks/syslog.js';
import { allowedBody, numbered, refusedBody } from '../support/events.js';
import { issue, makeTestCa } from '../support/tls.js';

let folder: string;
let daemon: ChildProcess | null = null;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-rsyslog-'));
});

afterEach(async () => {
  const running = daemon;
  daemon = null;
  if (running !== null && running.exitCode === null && running.signalCode === null) {
    running.kill('SIGKILL');
    await once(running, 'exit');
  }
  await rm(folder, { recursive: true });
});

async function freePort(): Promise<number> {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  await new Promise(resolve => probe.close(resolve));
  return port;
}

const ca = makeTestCa();

/** Writes each message as JSON of what rsyslogd read in it. */
async function start(port: number): Promise<void> {
  const { keyPem, certPem } = issue(ca, { names: ['127.0.0.1'] });
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const config = `
global(workDirectory="${folder}" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off"
  DefaultNetstreamDriver="ossl"
  DefaultNetstreamDriverCAFile="${file('ca.pem', ca.certPem)}"
  DefaultNetstreamDriverCertFile="${file('cert.pem', certPem)}"
  DefaultNetstreamDriverKeyFile="${file('key.pem', keyPem)}")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
template(name="read" type="list" option.jsonf="on") {
  property(outname="severity" name="syslogseverity" format="jsonf")
  property(outname="facility" name="syslogfacility" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="procid" name="procid" format="jsonf")
  property(outname="msgid" name="msgid" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="msg" name="msg" format="jsonf")
}
input(type="imtcp" port="${port}" address="127.0.0.1" ruleset="all")
ruleset(name="all") { action(type="omfile" file="${folder}/out.jsonl" template="read") }
`;
  const path = file('rsyslog.conf', config);
  daemon = spawn('rsyslogd', ['-n', '-f', path, '-i', join(folder, 'pid')], {
    stdio: 'ignore',
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
  });
  for (;;) {
    const socket = net.connect(port, '127.0.0.1');
    const up = await new Promise<boolean>(resolve => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (up) return;
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

function lines(): string[] {
  try {
    return readFileSync(join(folder, 'out.jsonl'), 'utf8')
      .split('\n')
      .filter(line => line !== '');
  } catch {
    // Nothing has come yet.
    return [];
  }
}

test('rsyslogd reads each event as one message with its fields, whatever a stranger wrote into it', async () => {
  const port = await freePort();
  await start(port);
  const hostile = `a"] <13>1 - - - - - -\r\n\u0000\\\u202e`;
  const events: Event[] = [
    numbered(allowedBody(), 1),
    numbered(refusedBody({ host: hostile, url: `https://a.test/${hostile}` }), 2),
    ...Array.from({ length: 200 }, (_, i) =>
      numbered(allowedBody({ url: `https://a.test/${'x'.repeat(i * 30)}` }), i + 3),
    ),
  ];
  const transport = createSyslog({
    host: '127.0.0.1',
    port,
    secureContext: trustRoots([ca.certPem]).context,
    hostname: 'host.test',
    appName: 'sallyport',
    facility: 16,
    encode: encodeEvent,
  });
  expect(await transport.deliver(events, new AbortController().signal)).toEqual({
    ok: true,
    value: undefined,
  });
  await transport.close?.();
  while (lines().length < events.length) await new Promise(resolve => setTimeout(resolve, 20));
  const read = lines().map(line => JSON.parse(line));
  expect(read.map(({ msg }) => `${msg.trimStart()}\n`)).toEqual(events.map(encodeEvent));
  expect(read[1]).toMatchObject({
    severity: '5',
    facility: '16',
    app: 'sallyport',
    procid: 'g1',
    msgid: 'request.refused',
    data: expect.stringContaining('id="g1-2"'),
  });
});

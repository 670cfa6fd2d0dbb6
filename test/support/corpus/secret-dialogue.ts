/** WebSocket cases of `secrets.json`: an upstream that shakes hands, frames of the guest, and the messages that arrived. */
import { deflateRawSync } from 'node:zlib';
import { acceptOf } from '../../../src/proxy/http1/handshake.js';
import { MessageReader } from '../../../src/proxy/websocket/messages.js';
import { openBench } from '../bench.js';
import { makeTestCa } from '../tls.js';
import { raw, startScriptedUpstream } from '../upstream.js';
import type { GuestFrame, SecretCase, SecretPlan, SeenSecret } from './secret-cases.js';

const HOLD_MS = 500;

export async function converse(
  item: SecretCase,
  plan: SecretPlan,
  frames: readonly GuestFrame[],
): Promise<SeenSecret> {
  const upstreamCa = makeTestCa();
  const names = [item.destination];
  const isTls = item.transport === 'https';
  const upstream = await startScriptedUpstream(isTls ? { tls: { ca: upstreamCa, names } } : {});
  const head = Buffer.from(item.raw_b64 ?? '', 'base64').toString('latin1');
  const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1] ?? '';
  const [, path = '/'] = head.split(' ', 2);
  upstream.script = { answer: switching(key), holdMs: HOLD_MS, path };
  const bench = await openBench({ policy: plan.policy, env: plan.env, upstreamCa, route: () => upstream });
  try {
    const target = { host: item.destination, port: isTls ? 443 : 80 };
    const socket = isTls ? await bench.connectTls(target) : await bench.connect(target);
    const bytes = Buffer.concat([Buffer.from(head, 'latin1'), ...frames.map(bytesOf)]);
    const got = await raw(socket, bytes, { timeoutMs: 8_000, halfCloseAfterMs: 2 * HOLD_MS });
    const told = got.bytes.toString('latin1') + JSON.stringify(bench.events);
    return { upstream: arrived(upstream.bytes), statuses: statusesOf(got.bytes), told, rejected: false };
  } finally {
    await bench[Symbol.asyncDispose]();
    await upstream.close();
  }
}

/** What follows a 101 is no answer. */
function statusesOf(bytes: Buffer): number[] {
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(bytes.toString('latin1'))?.[1];
  return status === undefined ? [] : [Number(status)];
}

function switching(key: string): Buffer {
  const fields = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(key)}`;
  return Buffer.from(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n\r\n`);
}

const MASK = Uint8Array.of(0x37, 0xfa, 0x21, 0x3d);

function bytesOf({ opcode, fin = true, rsv1 = false, deflated, masked = true, payload }: GuestFrame): Buffer {
  const plain = Buffer.from(payload);
  const data = deflated ? deflateRawSync(plain, { finishFlush: 2 }).subarray(0, -4) : plain;
  const length = data.length < 126 ? [data.length] : [126, data.length >> 8, data.length & 0xff];
  const mask = masked ? MASK : Uint8Array.of();
  const [first = 0, ...rest] = length;
  const head = [(fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcode, (masked ? 0x80 : 0) | first, ...rest];
  const body = masked ? data.map((byte, i) => byte ^ (MASK[i & 3] ?? 0)) : data;
  return Buffer.concat([Uint8Array.from(head), mask, body]);
}

/** The handshake and the messages behind it; nothing where no message arrived. */
function arrived(bytes: Buffer): string[] {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return [];
  const { messages } = new MessageReader({ masked: true, maxBytes: 1 << 20 }).push(bytes.subarray(end + 4));
  const told = messages.filter(({ kind }) => kind !== 'control');
  const texts = told.map(({ payload }) => Buffer.from(payload).toString('latin1'));
  return texts.length === 0 ? [] : [bytes.toString('latin1', 0, end), ...texts];
}

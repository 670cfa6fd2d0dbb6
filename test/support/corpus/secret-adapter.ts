/** `secrets.json` through whole gateways: HTTP/1, HTTP/2, reload, a second sandbox, a certificate that is not the host's. */
import http2 from 'node:http2';
import { isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { documentFrom } from '../../../src/policy/document.js';
import { type Bench, DEFAULT_NAMES, openBench } from '../bench.js';
import { raw } from '../upstream.js';
import {
  type CorpusAdapter,
  type CorpusFile,
  type CorpusSession,
  failed,
  type Outcome,
  PASSED,
  skipped,
} from './case.js';
import {
  type GuestFrame,
  type H2Request,
  judgeSecret,
  planFor,
  type SecretCase,
  type SecretPlan,
  type SeenSecret,
} from './secret-cases.js';
import { converse } from './secret-dialogue.js';

export const secretAdapter: CorpusAdapter = { concurrency: 8, open: openSession };

const CORPUS_PLACEHOLDER = 'GWPH_7f3a9c1e5b2d4f60a1b2c3d4e5f60718';

async function openSession(file: CorpusFile): Promise<CorpusSession> {
  return {
    run: item => runCase(file, item as unknown as SecretCase),
    sentinel: () => sentinel(file),
    close: async () => undefined,
  };
}

async function runCase(file: CorpusFile, item: SecretCase): Promise<Outcome> {
  if (item.config?.script !== undefined) return skipped('policy scripts are asked in scripts.json');
  if (item.ws !== undefined) return runDialogue(file, item, item.ws.frames);
  if (item.interleave !== undefined) return runInterleaved(file, item, item.interleave);
  const plan = planFor(file, item, { own: item.placeholder_owner !== undefined });
  const { pass, seen } = judgeSecret(item, plan, await deliver(item, plan));
  return pass ? PASSED : failed(item.expected, seen);
}

async function runDialogue(
  file: CorpusFile,
  item: SecretCase,
  frames: readonly GuestFrame[],
): Promise<Outcome> {
  const plan = planFor(file, item);
  const { pass, seen } = judgeSecret(item, plan, await converse(item, plan, frames));
  return pass ? PASSED : failed(item.expected, seen);
}

/** Each sandbox's requests carry its own value, and nobody else's. */
async function runInterleaved(
  file: CorpusFile,
  item: SecretCase,
  turns: NonNullable<SecretCase['interleave']>,
): Promise<Outcome> {
  for (const { value } of turns) {
    const plan = planFor(file, { ...item, config: { secretValue: value } });
    const upstream = { ...item.upstream, contains: [value] };
    const { pass, seen } = judgeSecret({ ...item, upstream }, plan, await deliver(item, plan));
    if (!pass) return failed(item.expected, seen);
  }
  return PASSED;
}

const NOTHING: SeenSecret = { upstream: [], statuses: [], told: '', rejected: false };

async function deliver(item: SecretCase, plan: SecretPlan): Promise<SeenSecret> {
  const env: Record<string, string> = { ...plan.envBefore };
  let bench: Bench;
  try {
    bench = await openBench({
      policy: plan.policy,
      env,
      names: item.upstream_tls ? ['wrong.test'] : [...DEFAULT_NAMES, item.destination],
      ...(item.dns && { resolve: name => item.dns?.[name] ?? [] }),
    });
  } catch (error) {
    return { ...NOTHING, rejected: true, told: String(error) };
  }
  try {
    Object.assign(env, plan.env);
    await changeState(bench, item, plan);
    const { statuses, guest } =
      item.h2 === undefined ? await askHttp1(bench, item) : await askH2(bench, item, item.h2);
    const upstream = [...bench.plain.requests, ...bench.secure.requests].map(requestText);
    return { upstream, statuses, told: guest + JSON.stringify(bench.events), rejected: false };
  } finally {
    await bench[Symbol.asyncDispose]();
  }
}

/** Rotates values, takes the first secret away. */
async function changeState(bench: Bench, { config = {} }: SecretCase, { policy }: SecretPlan): Promise<void> {
  if (config.revoked === undefined && config.deleted !== true) return;
  const { A: _taken, ...others } = policy.secrets;
  const document = documentFrom(
    config.deleted === true ? { ...policy, secrets: others } : policy,
    'reloaded',
  );
  if (!document.ok) throw new Error(JSON.stringify(document.error));
  await bench.gateway.reload([document.value]);
}

function requestText({
  method,
  target,
  headers,
  trailers,
  body,
}: Bench['plain']['requests'][number]): string {
  const fields = [...headers, ...trailers].map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return `${method} ${target}\r\n${fields}\r\n${body.toString('latin1')}`;
}

interface Got {
  readonly statuses: readonly number[];
  readonly guest: string;
}

const REFUSED: Got = { statuses: [], guest: '' };

async function askHttp1(bench: Bench, item: SecretCase): Promise<Got> {
  const socket =
    item.transport === 'https'
      ? await connectTls(bench, item)
      : await bench.connect({ host: item.destination, port: 80 });
  if (socket === null) return REFUSED;
  const bytes = Buffer.from(ownBytes(bench, item), 'latin1');
  const pieces = item.segments && lengthsOf(item.segments, bytes.length);
  // Our side must not end before its last piece was sent, on a busy machine either.
  const halfCloseAfterMs = 400 + 30 * (pieces?.length ?? 0);
  const got = await raw(socket, bytes, {
    timeoutMs: 8_000,
    halfCloseAfterMs,
    ...(pieces && { pieces }),
  });
  return { statuses: got.statuses, guest: got.bytes.toString('latin1') };
}

/** Another sandbox's placeholder, where the case is about one. */
function ownBytes({ gateway }: Bench, { raw_b64 = '', placeholder_owner }: SecretCase): string {
  const text = Buffer.from(raw_b64, 'base64').toString('latin1');
  if (placeholder_owner === undefined) return text;
  const { A = '' } = gateway.admit(placeholder_owner).environment({});
  return text.replaceAll(CORPUS_PLACEHOLDER, A);
}

function lengthsOf(cuts: readonly number[], total: number): number[] {
  return [...cuts, total].map((cut, index) => cut - (cuts[index - 1] ?? 0)).filter(length => length > 0);
}

/** Null: the gateway would not shake hands. */
async function connectTls(
  bench: Bench,
  item: SecretCase,
  alpn?: readonly string[],
): Promise<TLSSocket | null> {
  const named = item.sni !== null && item.sni !== '' && isIP(item.sni) === 0 ? item.sni : null;
  const address = item.guest_connects_to ?? (isIP(item.destination) === 0 ? undefined : item.destination);
  const host = address === undefined ? (named ?? item.destination) : null;
  try {
    return await bench.connectTls(
      { host, port: 443, ...(address && { address }) },
      { servername: named, ...(alpn && { alpn }) },
    );
  } catch {
    // A refused handshake is an outcome; the judge sees that nothing reached an upstream.
    return null;
  }
}

async function askH2(bench: Bench, item: SecretCase, request: H2Request): Promise<Got> {
  const socket = await connectTls(bench, item, ['h2']);
  if (socket === null) return REFUSED;
  const session = http2.connect(`https://${item.destination}`, { createConnection: () => socket });
  session.on('error', () => undefined);
  try {
    return await exchange(session, request);
  } finally {
    session.destroy();
  }
}

async function exchange(
  session: http2.ClientHttp2Session,
  { headers, body, trailers }: H2Request,
): Promise<Got> {
  const fields: http2.OutgoingHttpHeaders = Object.create(null);
  for (const [name, value] of headers) {
    const before = fields[name];
    fields[name] = before === undefined ? value : [before, value].flat().map(String);
  }
  const stream = session.request(fields, {
    endStream: body === null,
    waitForTrailers: trailers !== undefined,
  });
  const statuses: number[] = [];
  const chunks: Buffer[] = [];
  stream.on('response', answer => void statuses.push(Number(answer[':status'])));
  stream.on('data', (chunk: Buffer) => void chunks.push(chunk));
  stream.on('wantTrailers', () => void stream.sendTrailers(Object.fromEntries(trailers ?? [])));
  const ended = new Promise<void>(resolve => {
    stream.once('close', () => resolve());
    stream.on('error', () => resolve());
  });
  for (const part of body === null ? [] : [body].flat()) stream.write(part);
  if (body !== null) stream.end();
  await ended;
  return { statuses, guest: Buffer.concat(chunks).toString('latin1') };
}

async function sentinel(file: CorpusFile): Promise<boolean> {
  const request = 'GET /sentinel HTTP/1.1\r\nHost: api.allowed.test\r\nConnection: close\r\n\r\n';
  const item: SecretCase = {
    id: 'sentinel',
    category: 'sentinel',
    transport: 'https',
    destination: 'api.allowed.test',
    sni: 'api.allowed.test',
    expected: 'untouched',
    raw_b64: Buffer.from(request).toString('base64'),
    upstream: { contains: ['/sentinel'], not_contains: [] },
  };
  const plan = planFor(file, item);
  return judgeSecret(item, plan, await deliver(item, plan)).pass;
}

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import tls from 'node:tls';
import { parseAddress } from '../../../src/core/address.js';
import { hostText, parseHost } from '../../../src/core/host.js';
import type { Answer, Exchange } from '../../../src/proxy/exchange.js';
import { serveHttp2 } from '../../../src/proxy/http2/server.js';
import { Ca } from '../../../src/proxy/tls/ca.js';
import { HelloReader } from '../../../src/proxy/tls/hello-reader.js';
import { terminate } from '../../../src/proxy/tls/terminate.js';
import type { CorpusCase, CorpusFile } from '../../support/corpus/case.js';
import { deliverH2, type Forwarded, judgeH2, wantsLargeAnswer } from '../../support/corpus/h2-cases.js';

const file: CorpusFile = JSON.parse(readFileSync(join(__dirname, '../../corpus/h2.json'), 'utf8'));
const ca = Ca.ephemeral();

/** What became of one connection's requests. */
interface Record {
  readonly forwarded: Forwarded[];
  working: number;
  concurrent: number;
  pulledBytes: number;
}

/** Content of a GET has no meaning: it is refused over HTTP/2 as over HTTP/1. */
const CHOSEN = new Set(['length/may-reject: reject']);

async function answer(exchange: Exchange, large: boolean, record: Record): Promise<void> {
  record.working++;
  record.concurrent = Math.max(record.concurrent, record.working);
  try {
    const { head, body, trailers } = exchange.request;
    let contentBytes = 0;
    if (body instanceof Uint8Array) contentBytes = body.length;
    else for await (const chunk of body) contentBytes += chunk.length;
    const { method, path, headers } = head;
    const host = hostText(head.authority.host);
    record.forwarded.push({ method, host, path, headers, trailers: trailers(), contentBytes });
    await exchange.respond(large ? endless(record) : whole());
  } finally {
    record.working--;
  }
}

const whole = (): Answer => ({
  head: { status: 200, reason: '', headers: [], framing: { kind: 'none' }, version: '1.1' },
  body: Buffer.from('ok'),
  trailers: () => [],
});

function endless(record: Record): Answer {
  const piece = Buffer.alloc(65_536);
  const body = new Readable({
    read() {
      record.pulledBytes += piece.length;
      this.push(piece);
    },
  });
  return { ...whole(), head: { ...whole().head, framing: { kind: 'chunked' } }, body };
}

/** The server alone, behind real TLS. */
async function openServer(large: boolean, record: Record): Promise<net.Server> {
  const address = parseAddress('192.0.2.1');
  if (!address.ok) throw new Error('unreachable');
  const target = { address: address.value, port: 443 };
  const server = net.createServer({ allowHalfOpen: true }, async socket => {
    socket.on('error', () => {}); // clients of these cases leave as they like
    const [first] = await once(socket, 'data');
    socket.pause();
    const hello = new HelloReader().push(first);
    if (!hello.ok || hello.value === 'incomplete' || hello.value.serverName === null)
      throw new Error('no hello');
    socket.unshift(first);
    const name = hello.value.serverName;
    const host = parseHost(name);
    if (!host.ok) throw new Error('unreachable');
    const context = ca.leafContext(host.value, 'corpus');
    const secured = await terminate(socket, hello.value, context, {}, new AbortController().signal);
    await serveHttp2(secured, {
      scheme: 'https',
      name,
      target,
      onExchange: exchange => answer(exchange, large, record),
      onFault: () => Buffer.from('{}'),
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}

async function run(corpusCase: CorpusCase): Promise<string> {
  const record: Record = { forwarded: [], working: 0, concurrent: 0, pulledBytes: 0 };
  const server = await openServer(wantsLargeAnswer(corpusCase), record);
  try {
    const { port } = server.address() as net.AddressInfo;
    const servername = String(corpusCase.sni);
    const client = tls.connect({
      host: '127.0.0.1',
      port,
      servername,
      ALPNProtocols: ['h2'],
      ca: ca.certPem,
    });
    await once(client, 'secureConnect');
    const seen = await deliverH2(corpusCase, client);
    const outcome = judgeH2(corpusCase, { ...seen, ...record });
    if (outcome.kind !== 'failed') return outcome.kind;
    const choice = `${corpusCase.category}/${corpusCase.policyChoice}: ${/^\w+/.exec(outcome.seen)?.[0]}`;
    return CHOSEN.has(choice) ? 'passed' : `expected ${outcome.expected}, seen ${outcome.seen}`;
  } finally {
    server.close();
  }
}

test.each(file.cases.map(corpusCase => [corpusCase.id, corpusCase.note, corpusCase]))(
  '%s: %s',
  async (_id, _note, corpusCase) => {
    expect(await run(corpusCase as CorpusCase)).toBe('passed');
  },
);

import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { authorityText } from '../../../src/core/authority.js';
import type { HeaderList } from '../../../src/core/headers.js';
import { AuthorityReader } from '../../../src/proxy/http1/authority.js';
import type { BodyDecoder } from '../../../src/proxy/http1/body.js';
import { FieldReader } from '../../../src/proxy/http1/fields.js';
import { HEAD_LIMITS } from '../../../src/proxy/http1/head-scan.js';
import { type IntakeStep, RequestIntake } from '../../../src/proxy/http1/request-intake.js';
import { emitRequestHead } from '../../../src/proxy/http1/write.js';
import { loadSmugglingCases } from '../../support/corpus/smuggling-cases.js';
import { readAnswers } from '../../support/http1-answers.js';
import { facts } from './harness.js';

const ALLOWED = facts('transparent', null);

function intake(): RequestIntake {
  const authorities = new AuthorityReader(ALLOWED);
  return new RequestIntake(
    { facts: ALLOWED, authorities, fields: new FieldReader(200), contentBytes: 1_000_000 },
    HEAD_LIMITS,
  );
}

/** All requests of a byte stream, as text, content included; then how it ended. */
function readAllOf(segments: readonly Buffer[]): string[] {
  const reader = intake();
  const log: string[] = [];
  let open: BodyDecoder | null = null;
  const settle = (step: IntakeStep): boolean => {
    if (step.kind === 'fault') log.push(`fault ${step.code}`);
    if (step.kind === 'connect') log.push('connect');
    if (step.kind !== 'request') return false;
    log.push(
      JSON.stringify([
        step.head.method,
        step.head.path,
        authorityText(step.head.authority),
        step.head.headers,
      ]),
    );
    const { content } = step;
    if (content.kind === 'whole') log.push(Buffer.from(content.body).toString('latin1'));
    else {
      log.push(Buffer.concat(content.first?.pieces ?? []).toString('latin1'));
      open = content.decoder;
    }
    return true;
  };
  for (const segment of segments) {
    if (log.at(-1)?.startsWith('fault') || log.at(-1) === 'connect') break;
    let bytes = segment;
    const decoder = open as BodyDecoder | null;
    if (decoder !== null) {
      const decoded = decoder.push(bytes);
      if (!decoded.ok) {
        log.push(`fault ${decoded.error}`);
        break;
      }
      log[log.length - 1] += Buffer.concat(decoded.value.pieces).toString('latin1');
      if (!decoded.value.done) continue;
      bytes = decoded.value.rest;
      open = null;
    }
    if (bytes.length > 0) reader.unread.append(bytes);
    while (open === null && !reader.idle && settle(reader.read()));
  }
  return log;
}

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const edges = [0, ...at.map(index => index % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return edges
    .slice(1)
    .map((edge, i) => bytes.subarray(edges[i], edge))
    .filter(part => part.length > 0);
}

/** What was forwarded before a fault may differ (a fault in content that came later is told later); the fault may not. */
function ending(log: readonly string[]): string {
  return log.at(-1)?.startsWith('fault') ? 'fault' : JSON.stringify(log);
}

const CASES = loadSmugglingCases(join(__dirname, '../../corpus')).filter(
  ({ mode }) => mode === 'transparent-http',
);

test('each smuggling case reads the same byte by byte', () => {
  for (const { id, raw_b64 } of CASES) {
    const bytes = Buffer.from(raw_b64, 'base64');
    if (bytes.length > 30_000) continue;
    const single = Array.from(bytes, byte => Buffer.of(byte));
    expect([id, ending(readAllOf(single))]).toEqual([id, ending(readAllOf([bytes]))]);
  }
});

test('mutated cases never throw, and the cut decides nothing', () => {
  const seeds = CASES.map(({ raw_b64 }) => Buffer.from(raw_b64, 'base64')).filter(
    bytes => bytes.length < 2000,
  );
  const edit = fc.record({
    at: fc.nat(),
    byte: fc.constantFrom(0, 9, 10, 13, 32, 44, 48, 58, 59, 65, 128),
    add: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(edit, { maxLength: 4 }),
      fc.array(fc.nat(), { maxLength: 8 }),
      (seed, edits, at) => {
        let bytes = Buffer.from(seed);
        for (const { at: index, byte, add } of edits) {
          const i = index % (bytes.length + 1);
          bytes = Buffer.concat([bytes.subarray(0, i), Buffer.of(byte), bytes.subarray(add ? i : i + 1)]);
        }
        expect(ending(readAllOf(cut(bytes, at)))).toBe(ending(readAllOf([bytes])));
      },
    ),
    { seed: 22, numRuns: 2000 },
  );
});

const NAME = fc.stringMatching(/^X-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}$/);
const VALUE = fc.stringMatching(/^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]{0,20}[!-~\x80-\xff])?)?$/);

test('a head that was written reads as itself', () => {
  const fields = fc.array(fc.tuple(NAME, VALUE), { maxLength: 8 });
  const path = fc.stringMatching(/^\/(?:[a-z0-9._~!$&'()*+,;=:@-][a-zA-Z0-9/?_=&-]{0,20})?$/);
  fc.assert(
    fc.property(fields, path, fc.nat({ max: 9 }), (headers: HeaderList, target, bytes) => {
      const text = emitRequestHead('POST', target, 'a.test', headers, { kind: 'length', bytes }, '');
      const reader = intake();
      reader.unread.append(Buffer.from(text + 'x'.repeat(bytes), 'latin1'));
      const step = reader.read();
      expect(step).toMatchObject({ kind: 'request', head: { method: 'POST', path: target, headers } });
    }),
    { seed: 23, numRuns: 500 },
  );
});

interface Reading {
  readonly method: string;
  readonly path: string;
  readonly fields: string[];
  readonly body: string;
}

/** What Node's parser makes of the bytes: its requests, or null when it refuses any. */
async function llhttpReads(port: number, bytes: Buffer, log: Reading[]): Promise<Reading[] | null> {
  log.length = 0;
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on('data', chunk => chunks.push(chunk)).on('error', () => {});
  socket.end(bytes);
  await once(socket, 'close');
  const refused = readAnswers(Buffer.concat(chunks)).some(({ status }) => status >= 400);
  return refused ? null : [...log];
}

const HOP =
  /^(?:host|connection|keep-alive|te|trailer|transfer-encoding|content-length|upgrade|expect|alt-svc|http2-settings|proxy-.*)$/i;

test('what this reader and llhttp both accept reads the same', async () => {
  const log: Reading[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    const raw = request.rawHeaders;
    const fields = raw.flatMap((name, i) =>
      i % 2 === 0 && !HOP.test(name) ? [`${name}: ${raw[i + 1]}`] : [],
    );
    // A request that is cut short is no reading.
    request.on('error', () => {}).on('data', chunk => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('latin1');
      log.push({ method: request.method ?? '', path: request.url ?? '', fields, body });
      response.end('ok');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  let both = 0;
  for (const bytes of differentialSeeds()) {
    const ours = readAllOf([bytes]);
    if (ours.length !== 2 || ours[1]?.startsWith('fault')) continue;
    const theirs = await llhttpReads(port, bytes, log);
    const [reading] = theirs ?? [];
    if (reading === undefined) continue;
    both += 1;
    const [method, path, , headers] = JSON.parse(ours[0] ?? '') as [string, string, string, HeaderList];
    const fields = headers.filter(([name]) => !HOP.test(name)).map(([name, value]) => `${name}: ${value}`);
    const origin = reading.path.replace(/^http:\/\/[^/?]*/i, '') || '/';
    expect({ method, path, fields, body: ours[1] }).toEqual({ ...reading, path: origin });
  }
  server.closeAllConnections();
  server.close();
  expect(both).toBeGreaterThan(20);
});

/** Every case, and valid requests with one byte changed: what is accepted by both must be no accident of the cases. */
function differentialSeeds(): Buffer[] {
  const cases = CASES.map(({ raw_b64 }) => Buffer.from(raw_b64, 'base64')).filter(
    bytes => bytes.length < 10_000,
  );
  const valid = [
    'POST /p?q=1 HTTP/1.1\r\nHost: allowed.test\r\nA: b\r\nContent-Length: 3\r\n\r\nabc',
    'POST /p HTTP/1.1\r\nHost: allowed.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  ];
  const changed = fc.sample(
    fc.tuple(fc.constantFrom(...valid), fc.nat(), fc.constantFrom(...'\0\t\n\r ,0:;AaZ~\x80')),
    { seed: 24, numRuns: 300 },
  );
  const mutants = changed.map(([text, index, character]) => {
    const i = index % text.length;
    return Buffer.from(text.slice(0, i) + character + text.slice(i + 1), 'latin1');
  });
  return [...cases, ...mutants];
}

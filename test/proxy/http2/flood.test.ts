import { Readable } from 'node:stream';
import { errorCode } from '../../../src/core/errors.js';
import { ERROR, emitFrame, PREFACE, TYPE } from '../../../src/proxy/http2/frames.js';
import { dataFrame, GREETING, headersFrame, requestFields, type SeenFrame } from '../../support/h2-frames.js';
import { answerOf, contentOf, framesUntil, serve } from '../../support/h2-server.js';

const repeated = (count: number, frame: (i: number) => Buffer): Buffer =>
  Buffer.concat([GREETING, ...Array.from({ length: count }, (_, i) => frame(i))]);

const floods: { readonly name: string; readonly wire: Buffer }[] = [
  { name: 'PING', wire: repeated(200, () => emitFrame(TYPE.ping, 0, 0, Buffer.alloc(8))) },
  { name: 'SETTINGS', wire: repeated(50, () => emitFrame(TYPE.settings, 0, 0, Buffer.alloc(0))) },
  { name: 'PRIORITY', wire: repeated(1_200, () => emitFrame(TYPE.priority, 0, 1, Buffer.alloc(5))) },
  { name: 'unknown frames', wire: repeated(1_200, () => emitFrame(200, 0, 0, Buffer.alloc(0))) },
  { name: 'WINDOW_UPDATE', wire: repeated(2_500, () => emitFrame(TYPE.window, 0, 0, Buffer.of(0, 0, 0, 1))) },
  {
    name: 'empty DATA',
    wire: repeated(200, i =>
      i === 0 ? headersFrame(1, requestFields({ method: 'POST' }), false) : dataFrame(1, '', false),
    ),
  },
  {
    name: 'resets',
    wire: repeated(200, i =>
      Buffer.concat([
        headersFrame(i * 2 + 1, requestFields()),
        emitFrame(TYPE.reset, 0, i * 2 + 1, Buffer.of(0, 0, 0, 8)),
      ]),
    ),
  },
  {
    name: 'windows that overflow, so that it resets the streams itself',
    wire: repeated(200, i =>
      Buffer.concat([
        headersFrame(i * 2 + 1, requestFields()),
        emitFrame(TYPE.window, 0, i * 2 + 1, Buffer.of(0x7f, 0xff, 0xff, 0xff)),
      ]),
    ),
  },
  {
    name: 'malformed requests',
    wire: repeated(200, i => headersFrame(i * 2 + 1, requestFields({}, [['X', 'y']]))),
  },
];

for (const { name, wire } of floods) {
  test(`serveHttp2 ends a connection that floods it with ${name}`, async () => {
    let handed = 0;
    const served = serve(async exchange => {
      handed++;
      await contentOf(exchange.request.body);
    });
    served.far.write(wire);
    const frames = await framesUntil(served.far, () => false);
    const last = frames.at(-1);
    expect(last).toMatchObject({ type: TYPE.goaway });
    expect(last?.payload.readUInt32BE(4)).toBe(ERROR.enhanceYourCalm);
    expect(served.sessionFaults).toMatchObject([{ code: ERROR.enhanceYourCalm }]);
    expect(handed).toBeLessThan(2);
    served.far.destroy();
    await served.served;
  });
}

const stalls: { readonly name: string; readonly wire: Buffer }[] = [
  { name: 'says nothing', wire: Buffer.alloc(0) },
  { name: 'stops within its greeting', wire: PREFACE.subarray(0, 10) },
  {
    name: 'stops within a head',
    wire: Buffer.concat([GREETING, emitFrame(TYPE.headers, 0, 1, Buffer.of(0x82))]),
  },
  { name: 'asks for nothing', wire: GREETING },
];

for (const { name, wire } of stalls) {
  test(`serveHttp2 ends a connection whose client ${name}`, async () => {
    const served = serve(async () => {}, { headMs: 30, keepAliveMs: 60 });
    served.far.write(wire);
    const frames = await framesUntil(served.far, () => false);
    expect(frames.at(-1)).toMatchObject({ type: TYPE.goaway });
    served.far.destroy();
    await served.served;
  });
}

test('a stream whose client neither reads nor sends is reset', async () => {
  const failures: string[] = [];
  const served = serve(
    async exchange => {
      const { head, body } = exchange.request;
      const working =
        head.path === '/read'
          ? contentOf(body)
          : exchange.respond(answerOf(Readable.from([Buffer.alloc(1 << 20)], { objectMode: false })));
      await working.catch(error => failures.push(errorCode(error)));
    },
    { contentIdleMs: 40 },
  );
  const post = headersFrame(1, requestFields({ method: 'POST', path: '/read' }), false);
  served.far.write(Buffer.concat([GREETING, post, headersFrame(3, requestFields({ path: '/write' }))]));
  const isReset = ({ type }: SeenFrame): boolean => type === TYPE.reset;
  const frames = await framesUntil(served.far, seen => seen.filter(isReset).length === 2);
  const resets = frames.filter(isReset).map(({ stream, payload }) => [stream, payload.readUInt32BE(0)]);
  expect(resets.sort()).toEqual([
    [1, ERROR.cancel],
    [3, ERROR.cancel],
  ]);
  served.far.destroy();
  await served.served;
  expect(failures).toEqual(['CLIENT_ABORTED', 'CLIENT_ABORTED']);
});

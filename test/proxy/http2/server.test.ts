import { once } from 'node:events';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode } from '../../../src/core/errors.js';
import type { HeaderList } from '../../../src/core/headers.js';
import type { Exchange } from '../../../src/proxy/exchange.js';
import { ERROR, TYPE } from '../../../src/proxy/http2/frames.js';
import { dataFrame, GREETING, headersFrame, requestFields } from '../../support/h2-frames.js';
import { answerOf, ask, connect, contentOf, framesUntil, serve } from '../../support/h2-server.js';

test('serveHttp2 hands over a request and sends its answer', async () => {
  const seen: Exchange[] = [];
  const served = serve(async exchange => {
    seen.push(exchange);
    const headers: HeaderList = [
      ['X-One', '1'],
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2'],
      ['Connection', 'x'],
    ];
    await exchange.respond(answerOf(Buffer.from('hello'), { headers }));
  });
  const session = connect(served);
  const got = await ask(session, {
    ':path': '/a?b=c',
    accept: '*/*',
    te: 'trailers',
    cookie: ['a=1', 'b=2'],
  });
  expect(got.content.toString()).toBe('hello');
  expect(got.headers).toMatchObject({
    ':status': 200,
    'x-one': '1',
    'content-length': '5',
    'set-cookie': ['a=1', 'b=2'],
  });
  expect(got.headers).not.toHaveProperty('connection');
  const { head, body } = seen[0]?.request ?? {};
  expect(head).toMatchObject({
    method: 'GET',
    path: '/a?b=c',
    version: '2',
    framing: { kind: 'none' },
    wantsTrailers: true,
  });
  expect(head?.authority).toMatchObject({ scheme: 'https', port: 443, host: { name: 'allowed.test' } });
  expect(head?.headers).toEqual([
    ['accept', '*/*'],
    ['cookie', 'a=1; b=2'],
  ]);
  expect(body).toEqual(new Uint8Array(0));
  expect(seen[0]?.bytes.received).toBeGreaterThan(20);
  expect(seen[0]?.bytes.sent).toBeGreaterThan(20);
  session.close();
  await served.served;
});

test('serveHttp2 carries megabytes and trailers both ways at once', async () => {
  const megabytes = Buffer.alloc(5 << 20, 'x');
  let requestTrailers: HeaderList = [];
  const served = serve(async exchange => {
    const { body, trailers } = exchange.request;
    if (body instanceof Uint8Array) throw new Error('the content was not streamed');
    const echo = new Readable({ read: () => {} });
    body.on('data', part => echo.push(part));
    body.on('end', () => {
      requestTrailers = trailers();
      echo.push(null);
    });
    await exchange.respond(answerOf(echo, {}, [['X-Sum', '42']]));
  });
  const session = connect(served);
  const stream = session.request({ ':method': 'POST', ':path': '/' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-check': 'ok' }));
  const trailers = once(stream, 'trailers');
  stream.end(megabytes);
  const content = await contentOf(stream);
  expect(content.equals(megabytes)).toBe(true);
  expect((await trailers)[0]).toMatchObject({ 'x-sum': '42' });
  expect(requestTrailers).toEqual([['x-check', 'ok']]);
  session.close();
  await served.served;
});

test('serveHttp2 gives content that is already there whole, and with its length', async () => {
  const heads: unknown[] = [];
  const served = serve(async exchange => {
    const { head, body } = exchange.request;
    heads.push(head.framing, body);
    await exchange.respond(answerOf(Buffer.alloc(0)));
  });
  served.far.write(
    Buffer.concat([GREETING, headersFrame(1, requestFields({ method: 'POST' }), false), dataFrame(1, 'abc')]),
  );
  await framesUntil(served.far, frames =>
    frames.some(({ type, stream }) => type === TYPE.headers && stream === 1),
  );
  expect(heads).toEqual([{ kind: 'length', bytes: 3 }, Buffer.from('abc')]);
  served.far.destroy();
  await served.served;
});

test('inform sends interim answers, and the 100 that is waited for comes with the first read', async () => {
  const served = serve(async exchange => {
    exchange.inform(103, [['Link', '</a>']]);
    const content = await contentOf(exchange.request.body);
    await exchange.respond(answerOf(content));
  });
  const session = connect(served);
  const stream = session.request({ ':method': 'POST', ':path': '/', expect: '100-continue' });
  const interim: number[] = [];
  stream.on('headers', fields => interim.push(Number(fields[':status'])));
  await once(stream, 'continue');
  stream.end('go on');
  expect((await contentOf(stream)).toString()).toBe('go on');
  expect(interim).toEqual([103, 100]);
  session.close();
  await served.served;
});

test('a HEAD and a 304 keep their announced length and have no content', async () => {
  const served = serve(async exchange => {
    const status = exchange.request.head.method === 'HEAD' ? 200 : 304;
    await exchange.respond(answerOf(Buffer.alloc(0), { status, framing: { kind: 'length', bytes: 1234 } }));
  });
  const session = connect(served);
  for (const method of ['HEAD', 'GET']) {
    const got = await ask(session, { ':method': method, ':path': '/' });
    expect(got.headers['content-length']).toBe('1234');
    expect(got.content.length).toBe(0);
  }
  session.close();
  await served.served;
});

test('an upstream that is cut short is a reset, not an end', async () => {
  let rejected = '';
  const served = serve(async exchange => {
    const body = new Readable({ read: () => {} });
    body.push('part');
    const responding = exchange.respond(answerOf(body, { framing: { kind: 'length', bytes: 100 } }));
    body.push(null);
    rejected = await responding.then(() => '', errorCode);
  });
  const session = connect(served);
  const stream = session.request({ ':path': '/' });
  const failure = new Promise<Error>(resolve => stream.once('error', resolve));
  stream.resume();
  expect(errorCode(await failure)).toBe('ERR_HTTP2_STREAM_ERROR');
  expect(stream.rstCode).toBe(ERROR.internal);
  expect(rejected).toBe('UPSTREAM_TRUNCATED');
  session.destroy();
  await served.served;
});

test('abort resets the stream, and so does a handler that fails or forgets to answer', async () => {
  const served = serve(async exchange => {
    if (exchange.request.head.path === '/abort') exchange.abort();
    if (exchange.request.head.path === '/fail') throw new Error('on purpose');
  });
  const session = connect(served);
  for (const path of ['/abort', '/fail', '/forget']) {
    const stream = session.request({ ':path': path });
    stream.on('error', () => {}); // the reset that is waited for
    await new Promise(resolve => stream.once('close', resolve));
    expect(stream.rstCode).toBe(ERROR.internal);
  }
  session.destroy();
  await served.served;
});

test('a client that resets its stream ends the exchange', async () => {
  let failure: Promise<unknown> = Promise.resolve();
  let gone = false;
  const served = serve(async exchange => {
    const onAbort = (): void => {
      gone = true;
    };
    exchange.signal.addEventListener('abort', onAbort, { once: true });
    const body = new Readable({ read: () => {} });
    failure = exchange.respond(answerOf(body)).catch(errorCode);
    expect(await failure).toBe('CLIENT_ABORTED');
    expect(body.destroyed).toBe(true);
  });
  const session = connect(served);
  const stream = session.request({ ':path': '/' });
  stream.on('error', () => {}); // our own reset
  await once(stream, 'response');
  stream.close(ERROR.cancel);
  await once(stream, 'close');
  session.close();
  await served.served;
  expect(await failure).toBe('CLIENT_ABORTED');
  expect(gone).toBe(true);
});

test('a client that does not read stops its upstream, not the other streams', async () => {
  let pulled = 0;
  const served = serve(async exchange => {
    if (exchange.request.head.path === '/small') return await exchange.respond(answerOf(Buffer.from('ok')));
    const body = new Readable({
      read() {
        pulled += 65_536;
        this.push(Buffer.alloc(65_536));
      },
    });
    await exchange.respond(answerOf(body));
  });
  const session = connect(served);
  const stream = session.request({ ':path': '/endless' });
  stream.on('error', () => {}); // destroyed at the end
  stream.pause();
  await once(stream, 'response');
  expect((await ask(session, { ':path': '/small' })).content.toString()).toBe('ok');
  const before = pulled;
  expect((await ask(session, { ':path': '/small' })).content.toString()).toBe('ok');
  expect(pulled).toBe(before);
  expect(pulled).toBeLessThan(2 << 20);
  session.destroy();
  await served.served;
});

test('content that nobody reads stops at the window, and goes on when it is read', async () => {
  const atWindow = 1 << 20;
  let unread = 0;
  const served = serve(async exchange => {
    const { body } = exchange.request;
    while (exchange.bytes.received < atWindow) await delay(1);
    await delay(20); // time for more to come, if more were let in
    unread = exchange.bytes.received;
    const content = await contentOf(body);
    await exchange.respond(answerOf(Buffer.from(String(content.length))));
  });
  const session = connect(served);
  const stream = session.request({ ':method': 'PUT', ':path': '/' });
  stream.end(Buffer.alloc(3 << 20));
  expect((await contentOf(stream)).toString()).toBe(String(3 << 20));
  expect(unread).toBeLessThan(atWindow + 10_000);
  session.close();
  await served.served;
});

test('content that is never read does not use up the window of the connection', async () => {
  const served = serve(async exchange => {
    while (exchange.bytes.received < 1_000_000) await delay(1);
    await exchange.respond(answerOf(Buffer.from('unread')));
  });
  const session = connect(served);
  for (let i = 0; i < 6; i++) {
    const got = await ask(session, { ':method': 'PUT', ':path': '/' }, Buffer.alloc(1_000_000));
    expect(got.content.toString()).toBe('unread');
  }
  session.close();
  await served.served;
});

test('an answer that comes before the end of the request stops the upload', async () => {
  const served = serve(async exchange => {
    await exchange.respond(answerOf(Buffer.from('no'), { status: 413 }));
  });
  const session = connect(served);
  const stream = session.request({ ':method': 'PUT', ':path': '/' });
  stream.on('error', () => {}); // writing to a stream that was reset
  stream.write(Buffer.alloc(100));
  const [head] = await once(stream, 'response');
  expect(head[':status']).toBe(413);
  expect((await contentOf(stream)).toString()).toBe('no');
  expect(stream.rstCode).toBe(ERROR.none);
  expect((await ask(session, { ':path': '/' })).headers[':status']).toBe(413);
  session.close();
  await served.served;
});

test('uploads that are read late and in crumbs share the window of the connection', async () => {
  const size = 1_500_000;
  const served = serve(async exchange => {
    const { body } = exchange.request;
    if (body instanceof Uint8Array) throw new Error('the content was not streamed');
    let seen = 0;
    body.on('readable', () => {
      for (let part = body.read(1000); part !== null; part = body.read(1000)) seen += part.length;
      const rest = body.read();
      if (rest !== null) seen += rest.length;
    });
    await once(body, 'end');
    await exchange.respond(answerOf(Buffer.from(String(seen))));
  });
  const session = connect(served);
  const uploads = Array.from({ length: 8 }, async () => {
    const stream = session.request({ ':method': 'PUT', ':path': '/' });
    stream.end(Buffer.alloc(size));
    return (await contentOf(stream)).toString();
  });
  expect(await Promise.all(uploads)).toEqual(Array(8).fill(String(size)));
  session.close();
  await served.served;
});

test('a connection that breaks ends every exchange', async () => {
  const failures: Promise<string>[] = [];
  const served = serve(async exchange => {
    const failure = contentOf(exchange.request.body).then(() => 'whole', errorCode);
    if (failures.push(failure) === 3) served.far.destroy();
    await failure;
  });
  const session = connect(served);
  for (let i = 0; i < 3; i++) {
    const stream = session.request({ ':method': 'POST', ':path': '/' });
    stream.on('error', () => {}); // the connection breaks
    stream.write('x');
  }
  await served.served;
  expect(await Promise.all(failures)).toEqual(['CLIENT_ABORTED', 'CLIENT_ABORTED', 'CLIENT_ABORTED']);
});

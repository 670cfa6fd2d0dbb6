/**
 * A browsing session on record: headless Chromium in a sandbox loads a site with HTTPS, HTTP/2, redirects and a WebSocket;
 * the archive that is made of the events says what the site's own log says, and Chromium's developer tools show it.
 */
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { WebSocketServer } from 'ws';
import { readEvents } from '../support/cli.js';
import { DevTools } from '../support/devtools.js';
import { type Har, harSchema } from '../support/har.js';
import { bodyOf, expectInvariants, Stage } from './stage.js';

const SITE = 'site.example.test';
const CDN = 'cdn.example.test';
const TOKEN = 'browser-real-value-0123456789';
const stage = new Stage();
const sockets = new WebSocketServer({ noServer: true });

/** One line of the site's own log. */
interface Served {
  readonly method: string;
  readonly url: string;
  readonly status: number;
  readonly location: string;
  readonly sent: string;
  readonly got: string;
}

const served: Served[] = [];
let finish: () => void = () => undefined;
const finished = new Promise<void>(resolve => {
  finish = resolve;
});

const PAGE = `<!doctype html><title>shop</title><link rel="icon" href="data:,"><script>
  const say = async () => {
    await fetch('/moved');
    await fetch('https://${CDN}/list.json');
    await fetch('/api/items?page=2', { method: 'POST', body: JSON.stringify({ note: 'grüße' }) });
    await fetch('/missing');
    const ws = new WebSocket('wss://${SITE}/live');
    ws.onopen = () => ws.send('ping');
    ws.onmessage = () => { ws.close(); };
    ws.onclose = () => fetch('/done');
  };
  addEventListener('load', say);
</script><p>hello`;

const PIXEL = Buffer.from('89504e470d0a1a0a00ff00ff', 'hex');

type Page = Pick<Served, 'status' | 'location'> & { readonly type: string; readonly body: Buffer };

function pageOf(path: string): Page {
  const page = (status: number, type: string, body: string | Buffer, location = ''): Page => ({
    ...{ status, type, location, body: Buffer.from(body) },
  });
  if (path === '/') return page(302, '', '', '/home');
  if (path === '/home') return page(200, 'text/html; charset=utf-8', PAGE);
  if (path === '/moved') return page(307, '', '', `https://${SITE}/pixel.png`);
  if (path === '/pixel.png') return page(200, 'image/png', PIXEL);
  if (path === '/list.json') return page(200, 'application/json', `{"token":"${TOKEN}","items":[1,2,3]}`);
  if (path.startsWith('/api/')) return page(201, 'application/json', '{"ok":true}');
  return page(path === '/done' ? 200 : 404, 'text/plain', `no ${path}`);
}

beforeAll(async () => {
  for (const name of [SITE, CDN]) {
    const server = await stage.http2(name, (request, response) => void answer(name, request, response));
    server.on('upgrade', (request, socket, head) => {
      served.push({
        ...{
          method: 'GET',
          url: `wss://${name}${request.url}`,
          status: 101,
          location: '',
          sent: '',
          got: '',
        },
      });
      sockets.handleUpgrade(request, socket, head, ws => ws.on('message', data => ws.send(`echo ${data}`)));
    });
  }
  stage.env.TOKEN = TOKEN;
  stage.flags.push('--secret', `TOKEN@${SITE}`);
  stage.flags.push('--policy', stage.place.file('capture.yaml', 'capture: { bodies: 64KiB }\n'));
});
afterAll(async () => {
  sockets.close();
  await stage.close();
});

async function answer(
  name: string,
  request: import('node:http').IncomingMessage,
  response: import('node:http').ServerResponse,
): Promise<void> {
  const { method = '', url = '' } = request;
  const got = (await bodyOf(request)).toString();
  const { status, type, location, body } = pageOf(url);
  served.push({ method, url: `https://${name}${url}`, status, location, sent: body.toString('latin1'), got });
  const zipped = type.startsWith('text/html');
  response.writeHead(status, {
    ...(type !== '' && { 'content-type': type }),
    ...(location !== '' && { location }),
    ...(zipped && { 'content-encoding': 'gzip' }),
    'access-control-allow-origin': '*',
  });
  response.end(zipped ? gzipSync(body) : body);
  if (url === '/done') finish();
}

const CHROMIUM = `
  export HOME=$(mktemp -d)
  mkdir -p $HOME/.pki/nssdb
  certutil -d sql:$HOME/.pki/nssdb -N --empty-password
  certutil -d sql:$HOME/.pki/nssdb -A -n sallyport -t C,, -i /run/sallyport/ca.pem
  exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking \\
    --disable-component-update --no-first-run --user-data-dir=$HOME/profile https://${SITE}/`;

test('the archive of a browsing session says what the site itself has logged', async () => {
  const log = `${stage.place.dir}/browsing.jsonl`;
  const child = stage.start(CHROMIUM, ['--event-log', log, '--quiet']);
  let noise = '';
  child.stderr.on('data', chunk => {
    noise += chunk;
  });
  const ended = new Promise(resolve => child.once('close', resolve));
  await Promise.race([finished, ended.then(() => Promise.reject(new Error(`Chromium ended: ${noise}`)))]);
  child.kill('SIGTERM');
  await ended;
  expectInvariants(readEvents(log));

  const har = await exported(log);
  const archived = har.log.entries.map(({ request, response }) => ({
    ...{
      method: request.method,
      url: request.url.replace('https://site.example.test/live', 'wss://site.example.test/live'),
    },
    ...{ status: response.status, location: response.redirectURL },
  }));
  const logged = served.map(({ method, url, status, location }) => ({ method, url, status, location }));
  const byText = (a: object, b: object): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
  expect(archived.sort(byText)).toEqual(logged.sort(byText));
  expect(logged.length).toBeGreaterThanOrEqual(9);
  expectContents(har);
  await expectShown(har);
}, 180_000);

/** The Network panel of Chromium's developer tools opens the file, and has a row for each of its entries. */
async function expectShown(har: Har): Promise<void> {
  const tools = new DevTools();
  try {
    await tools.open();
    const { entries } = har.log;
    const text = readFileSync(`${stage.place.dir}/browsing.har`, 'utf8');
    const { requests, rows } = await tools.show(text, entries.length);
    expect(requests.map(({ method, url, status }) => ({ method, url, status }))).toEqual(
      entries.map(({ request, response }) => ({
        ...{ method: request.method, url: request.url, status: response.status },
      })),
    );
    expect(rows.map(([, status]) => Number(status))).toEqual(entries.map(({ response }) => response.status));
    expect(rows.map(([name]) => name)).toEqual(
      expect.arrayContaining(['home', 'pixel.png', 'live', 'missing']),
    );
    entries.forEach(({ response: { content } }, at) => {
      if (content.text === undefined) return;
      const base64 = content.encoding === 'base64';
      expect(requests[at]?.content).toEqual({ text: content.text, base64 });
    });
    // What is no archive shows nothing: the importer was asked.
    expect(await tools.show('{"log":{}}', 0)).toEqual({ requests: [], rows: [] });
  } finally {
    await tools.close();
  }
}

async function exported(log: string): Promise<Har> {
  const file = `${stage.place.dir}/browsing.har`;
  expect(await stage.place.sallyport(['events', 'export', '--har', '-o', file, log])).toMatchObject({
    ...{ code: 0, stdout: '', stderr: '' },
  });
  const text = readFileSync(file, 'utf8');
  expect(text).not.toContain(TOKEN);
  return harSchema.parse(JSON.parse(text));
}

/** What was sent and answered, byte for byte, but for the value of the secret. */
function expectContents({ log: { entries } }: Har): void {
  const entry = (path: string) => {
    const found = entries.find(({ request }) => request.url.endsWith(path));
    if (found === undefined) throw new Error(`no entry for ${path}`);
    return found;
  };
  expect(entry('/home').response.content).toMatchObject({ text: PAGE, mimeType: 'text/html; charset=utf-8' });
  expect(entry('/pixel.png').response.content).toMatchObject({
    encoding: 'base64',
    text: PIXEL.toString('base64'),
  });
  expect(entry('/list.json').response.content.text).toMatch(
    /^\{"token":"GWPH_[0-9a-f]{32}","items":\[1,2,3\]\}$/,
  );
  expect(entry('/api/items?page=2').request).toMatchObject({
    ...{ httpVersion: 'HTTP/2', queryString: [{ name: 'page', value: '2' }] },
    postData: { text: '{"note":"grüße"}' },
  });
  expect(entry('/live')).toMatchObject({ _resourceType: 'websocket', response: { status: 101 } });
  expect(entry('/home').response.httpVersion).toBe('HTTP/2');
  for (const { timings } of entries) expect(timings.wait).toBeGreaterThanOrEqual(0);
}

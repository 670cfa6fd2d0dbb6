import { createPrivateKey, randomBytes, sign, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Runtime } from '../../../../src/runtime/runtime.js';
import { machineImage } from '../../../../src/vm/images/index.js';
import type { Digest } from '../../../../src/vm/images/manifest.js';
import { ImageStore } from '../../../../src/vm/images/store.js';
import { selfSigned } from '../../../support/certificates.js';
import { ARCHITECTURE, INDEX, type MadeImage, makeImage, sha256 } from '../../../support/image.js';
import { LOGIN, push, putManifest, type Registry, startRegistry } from '../../../support/registry.js';
import { tar } from '../../../support/tar.js';

let dir: string;
let registry: Registry;
const servers: Server[] = [];

const noise = randomBytes(600_000);
const image = makeImage({
  layers: [tar({ name: 'big', content: noise }), tar({ name: 'small', content: 'small' })],
  config: { Cmd: ['/bin/app'] },
});
const other = makeImage({ layers: [tar({ name: 'arm', content: 'arm' })], architecture: 'vax' });

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-pull-'));
  registry = await startRegistry(dir);
  await push(registry.host, 'team/app', image, '1');
  await push(
    registry.host,
    'team/docker',
    makeImage({ layers: [tar({ name: 'd', content: 'd' })], docker: true }),
    'latest',
  );
  await push(registry.host, 'team/app', other, 'vax');
  const manifests = [
    { ...other.manifest, platform: { os: 'linux', architecture: 'vax' } },
    { ...image.manifest, platform: { os: 'linux', architecture: ARCHITECTURE } },
    { ...other.manifest, platform: { os: 'unknown', architecture: 'unknown' } },
  ];
  const index = JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests });
  await putManifest(registry.host, 'team/app', 'many', INDEX, index);
});

afterAll(async () => {
  await registry.stop();
  rmSync(dir, { recursive: true, force: true });
});

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

let stores = 0;
const newStore = (registries: readonly string[] = [registry.host]): Promise<ImageStore> =>
  ImageStore.open(join(dir, `store-${++stores}`), { registries });
const partials = (): readonly string[] =>
  readdirSync(join(dir, `store-${stores}`, 'partial')).filter(name => !name.endsWith('.lock'));

test('ImageStore pulls an image from a registry, and its layers once', async () => {
  const store = await newStore();
  const asked: Digest[] = [];
  const onProgress = ({
    digest,
    doneBytes,
    totalBytes,
  }: {
    digest: Digest;
    doneBytes: number;
    totalBytes: number;
  }) => {
    if (doneBytes === totalBytes) asked.push(digest);
  };
  const pulled = await store.pull(`${registry.host}/team/app:1`, { onProgress });
  expect(pulled).toMatchObject({
    name: `${registry.host}/team/app:1`,
    manifest: image.manifest.digest,
    config: { cmd: ['/bin/app'] },
  });
  expect(new Set(asked)).toEqual(new Set([image.config.digest, ...image.layers.map(({ digest }) => digest)]));
  expect(readdirSync(await store.tree(pulled.manifest)).sort()).toEqual(['big', 'small']);
  expect(partials()).toEqual([]);
});

test.each(['team/app:many', `team/app@${image.manifest.digest}`, 'team/docker'])(
  'ImageStore pulls %s by the list of registries',
  async name => {
    const store = await newStore();
    const { manifest } = await store.pull(name);
    if (name.startsWith('team/app')) expect(manifest).toBe(image.manifest.digest);
    expect(await store.find(name)).toMatchObject({ manifest });
  },
);

test('ImageStore asks the next registry of the list where one lacks the image, and stops where one fails', async () => {
  const empty = await front((_request, response) => response.writeHead(404).end());
  expect(await (await newStore([empty, registry.host])).pull('team/app:1')).toMatchObject({
    name: `${registry.host}/team/app:1`,
  });
  const broken = await front((_request, response) => response.writeHead(500).end());
  await expect((await newStore([broken, registry.host])).pull('team/app:1')).rejects.toMatchObject({
    code: 'IMAGE_PULL_FAILED',
  });
});

test.each([
  { name: 'team/none:1', code: 'IMAGE_NOT_FOUND' },
  { name: 'team/app:vax', code: null },
  { name: `team/app@sha256:${'0'.repeat(64)}`, code: 'IMAGE_NOT_FOUND' },
])('ImageStore says of $name: $code', async ({ name, code }) => {
  const pulling = (await newStore()).pull(name);
  if (code === null) expect((await pulling).platform.architecture).toBe('vax');
  else await expect(pulling).rejects.toMatchObject({ code });
});

test('ImageStore gives a name and a password to a registry that asks for them', async () => {
  const guarded = await startRegistry(dir, { basic: true });
  try {
    const name = `${guarded.host}/team/app:1`;
    const login = async (asked: string) => (asked === guarded.host ? LOGIN : null);
    expect(await (await newStore()).pull(name, { login })).toMatchObject({ name });
    const wrong = async () => ({ ...LOGIN, password: 'wrong-password' });
    await expect((await newStore()).pull(name, { login: wrong })).rejects.toThrow(/not for us to read/);
    const denied = (await newStore()).pull(name);
    await expect(denied).rejects.toThrow(/asks for a name and a password/);
  } finally {
    await guarded.stop();
  }
});

test('ImageStore fetches a token where the registry sends it, and reads with it', async () => {
  const signer = selfSigned({ names: ['tokens.test'] });
  const asked: string[] = [];
  const tokens = await front((incoming, response) => {
    asked.push(`${incoming.url} ${incoming.headers.authorization ?? 'anonymous'}`);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ token: mint(signer.keyPem, signer.certPem) }));
  });
  const guarded = await startRegistry(dir, {
    bearer: { realm: `http://${tokens}/token`, service: 'reg', issuer: 'test', rootPem: signer.certPem },
  });
  try {
    const name = `${guarded.host}/team/app:1`;
    expect(await (await newStore()).pull(name)).toMatchObject({ name });
    expect(new Set(asked)).toEqual(
      new Set(['/token?service=reg&scope=repository%3Ateam%2Fapp%3Apull anonymous']),
    );
    await (await newStore()).pull(name, { login: async () => LOGIN });
    expect(asked.at(-1)).toContain(`Basic ${Buffer.from('reader:open-sesame').toString('base64')}`);
  } finally {
    await guarded.stop();
  }
});

test('ImageStore follows a blob to another origin, and gives that one nothing to know us by', async () => {
  const seen: (string | undefined)[] = [];
  const elsewhere = await front((incoming, response) => {
    seen.push(incoming.headers.authorization);
    forward(incoming, response);
  });
  const near = await front((incoming, response) => {
    if (incoming.headers.authorization === undefined) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    } else if (incoming.url?.includes('/blobs/')) {
      response.writeHead(307, { location: `http://${elsewhere}${incoming.url}` }).end();
    } else forward(incoming, response);
  });
  const pulled = await (await newStore()).pull(`${near}/team/app:1`, { login: async () => LOGIN });
  expect(pulled.manifest).toBe(image.manifest.digest);
  expect(seen).toEqual([undefined, undefined, undefined]);
});

test('ImageStore does not follow a redirect for ever, nor out of this machine in the clear', async () => {
  for (const location of ['/v2/again', 'http://192.0.2.1/x', 'ftp://a.test/x']) {
    const looping = await front((_incoming, response) => response.writeHead(302, { location }).end());
    await expect((await newStore()).pull(`${looping}/team/app:1`)).rejects.toThrow(/redirect/);
  }
});

test('ImageStore goes on with a blob where its connection broke', async () => {
  const ranges: (string | undefined)[] = [];
  const big = image.layers[0]?.digest ?? '';
  const breaking = await front((incoming, response) => {
    if (!incoming.url?.includes(big)) return forward(incoming, response);
    ranges.push(incoming.headers.range);
    forward(incoming, response, ranges.length < 3 ? 200_000 : undefined);
  });
  expect(await (await newStore()).pull(`${breaking}/team/app:1`)).toMatchObject({
    manifest: image.manifest.digest,
  });
  expect(ranges).toHaveLength(3);
  expect(ranges[0]).toBeUndefined();
  expect(ranges[2]).toMatch(/^bytes=\d{6}-$/);
});

test('ImageStore keeps what came before it was stopped, and needs only the rest', async () => {
  const big = image.layers[0] as MadeImage['layers'][number];
  const stop = new AbortController();
  const stalling = await front((incoming, response) => {
    if (incoming.url?.includes(big.digest)) forward(incoming, response, 300_000, () => stop.abort());
    else forward(incoming, response);
  });
  const store = await newStore();
  await expect(store.pull(`${stalling}/team/app:1`, { signal: stop.signal })).rejects.toThrow();
  expect(await store.list()).toEqual([]);
  expect(partials()).toEqual([big.digest.slice(7)]);
  let first: number | null = null;
  const onProgress = ({ digest, doneBytes }: { digest: Digest; doneBytes: number }): void => {
    if (digest === big.digest) first ??= doneBytes;
  };
  await store.pull(`${registry.host}/team/app:1`, { onProgress });
  expect(first).toBeGreaterThan(65_536);
  expect(partials()).toEqual([]);
});

const lies: readonly { name: string; answer: (path: string) => Uint8Array | null; says: RegExp }[] = [
  {
    name: 'another manifest than its digest',
    answer: path => (path.includes('/manifests/') ? Buffer.from(JSON.stringify({ schemaVersion: 2 })) : null),
    says: /came with the digest/,
  },
  {
    name: 'a manifest without an end',
    answer: path => (path.includes('/manifests/') ? Buffer.alloc(5 * 1024 * 1024, 32) : null),
    says: /more than 4194304 bytes/,
  },
  {
    name: 'another layer than its digest',
    answer: path =>
      path.includes(image.layers[0]?.digest ?? '') ? Buffer.alloc(image.layers[0]?.size ?? 0) : null,
    says: /have the digest/,
  },
  {
    name: 'a layer that does not end',
    answer: path => (path.includes(image.layers[1]?.digest ?? '') ? gzipSync(noise) : null),
    says: /longer than/,
  },
];

test.each(lies)(
  'ImageStore refuses $name from a registry, and keeps none of it',
  async ({ answer, says }) => {
    const lying = await front((incoming, response) => {
      const lie = answer(incoming.url ?? '');
      if (lie === null) return forward(incoming, response);
      response.writeHead(200, { 'content-type': image.manifest.mediaType }).end(lie);
    });
    const store = await newStore();
    await expect(store.pull(`${lying}/team/app@${image.manifest.digest}`)).rejects.toThrow(says);
    expect(await store.list()).toEqual([]);
    expect(partials()).toEqual([]);
  },
);

test('a runtime with registries fetches an image when a sandbox is made, and a machine holds it until its folder goes', async () => {
  const homeDir = join(dir, 'home');
  const runtime = new Runtime({ homeDir, imageRegistries: [registry.host] });
  try {
    const sandbox = await runtime.create('box', { backend: 'qemu', image: 'team/app:1' });
    expect(sandbox.config.image).toBe(`${registry.host}/team/app:1`);
    await expect(runtime.create('none', { backend: 'qemu', image: 'team/none' })).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
    });
  } finally {
    await runtime.close();
  }
  const stateDir = join(dir, 'machine');
  const held = await machineImage({ homeDir, stateDir, image: `${registry.host}/team/app:1` });
  expect(held).toMatchObject({ config: { cmd: ['/bin/app'] }, lower: { fsType: 'squashfs' } });
  const store = await ImageStore.open(join(homeDir, 'images'));
  await store.untag(`${registry.host}/team/app:1`);
  await store.collect();
  expect(existsSync(held.lower.path)).toBe(true);
  rmSync(stateDir, { recursive: true });
  await store.collect();
  expect(existsSync(held.lower.path)).toBe(false);
});

test('ImageStore does not open with a registry that is none', async () => {
  await expect(newStore(['not a registry'])).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});

/** A server that stands before the registry; its `HOST:PORT`. */
async function front(answer: (incoming: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** Asks the registry, and breaks the answer off after `bytes`. */
function forward(
  incoming: IncomingMessage,
  response: ServerResponse,
  bytes = Number.POSITIVE_INFINITY,
  then?: () => void,
): void {
  const { authorization: _own, host: _host, ...headers } = incoming.headers;
  const asked = request(`http://${registry.host}${incoming.url}`, { headers }, answer => {
    response.writeHead(answer.statusCode ?? 500, answer.headers);
    let sent = 0;
    answer.on('data', (chunk: Buffer) => {
      response.write(chunk.subarray(0, bytes - sent));
      sent += chunk.length;
      if (sent < bytes) return;
      answer.destroy();
      if (then === undefined) setTimeout(() => response.destroy(), 50);
      else setTimeout(then, 100);
    });
    answer.on('end', () => response.end());
    answer.on('error', () => undefined);
  });
  asked.on('error', () => response.destroy());
  asked.end();
}

/** What a token service signs (the distribution project's JWT). */
function mint(keyPem: string, certPem: string): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const x5c = [new X509Certificate(certPem).raw.toString('base64')];
  const now = Math.floor(Date.now() / 1000);
  const text = `${part({ typ: 'JWT', alg: 'ES256', x5c })}.${part({
    iss: 'test',
    sub: '',
    aud: 'reg',
    exp: now + 300,
    nbf: now - 60,
    iat: now,
    jti: sha256(randomBytes(8)),
    access: [{ type: 'repository', name: 'team/app', actions: ['pull'] }],
  })}`;
  const key = createPrivateKey(keyPem);
  return `${text}.${sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

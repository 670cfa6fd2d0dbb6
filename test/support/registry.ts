/** A real registry on loopback: Debian's docker-registry, in a folder of the test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { MadeImage } from './image.js';

export interface Registry {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  stop(): Promise<void>;
}

export interface Bearer {
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  /** PEM of the certificate that signs tokens. */
  readonly rootPem: string;
}

export const LOGIN = { username: 'reader', password: 'open-sesame' };
/** bcrypt, at its cheapest. */
const LOGIN_HASH = '$2b$04$abcdefghijklmnopqrstuuXcjcm5avyCiJoD2uS24xa2lb6fjMB3G';

/** `auth`: a name and a password, or a token service. What one registry was pushed, the next in `folder` has. */
export async function startRegistry(
  folder: string,
  auth: {
    /** `LOGIN` and nobody else. */ readonly basic?: boolean;
    readonly bearer?: Bearer;
  } = {},
): Promise<Registry> {
  mkdirSync(join(folder, 'data'), { recursive: true });
  const host = `127.0.0.1:${await freePort()}`;
  const config = join(folder, 'config.json');
  writeFileSync(config, JSON.stringify(configOf(folder, host, auth)));
  const child = spawn('docker-registry', ['serve', config], { stdio: 'ignore', env: {} });
  await answering(child, `http://${host}/v2/`);
  return {
    host,
    stop: async () => {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    },
  };
}

function configOf(
  folder: string,
  addr: string,
  { basic, bearer }: Parameters<typeof startRegistry>[1] & {},
): unknown {
  const common = {
    version: 0.1,
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: join(folder, 'data') } },
    http: { addr },
  };
  if (basic) {
    const path = join(folder, 'htpasswd');
    writeFileSync(path, `${LOGIN.username}:${LOGIN_HASH}\n`);
    return { ...common, auth: { htpasswd: { realm: 'test', path } } };
  }
  if (bearer !== undefined) {
    const rootcertbundle = join(folder, 'root.pem');
    writeFileSync(rootcertbundle, bearer.rootPem);
    const { realm, service, issuer } = bearer;
    return { ...common, auth: { token: { realm, service, issuer, rootcertbundle } } };
  }
  return common;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

async function answering(child: ChildProcess, url: string): Promise<void> {
  for (let tries = 0; tries < 200 && child.exitCode === null; tries += 1) {
    const answered = await fetch(url).then(
      response => response.body?.cancel().then(() => true),
      () => false,
    );
    if (answered) return;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  throw new Error('docker-registry does not answer');
}

/** Pushes by the distribution API, as any client does. */
export async function push(host: string, repository: string, image: MadeImage, tag: string): Promise<void> {
  const base = `http://${host}/v2/${repository}`;
  for (const [digest, bytes] of image.blobs) {
    if (digest === image.manifest.digest) continue;
    const begun = await fetch(`${base}/blobs/uploads/`, { method: 'POST' });
    const location = new URL(begun.headers.get('location') ?? '', base);
    location.searchParams.set('digest', digest);
    const done = await fetch(location.href, {
      method: 'PUT',
      body: bytes as never,
      headers: { 'content-type': 'application/octet-stream' },
    });
    if (done.status !== 201) throw new Error(`pushing ${digest}: ${done.status} ${await done.text()}`);
  }
  await putManifest(
    host,
    repository,
    tag,
    image.manifest.mediaType,
    image.blobs.get(image.manifest.digest) ?? '',
  );
}

export async function putManifest(
  host: string,
  repository: string,
  reference: string,
  mediaType: string,
  bytes: Uint8Array | string,
): Promise<void> {
  const put = await fetch(`http://${host}/v2/${repository}/manifests/${reference}`, {
    method: 'PUT',
    body: bytes as never,
    headers: { 'content-type': mediaType },
  });
  if (put.status !== 201) throw new Error(`pushing a manifest: ${put.status} ${await put.text()}`);
}

/** `sallyport vm …` over the library (shell: files of the host, standard streams). */
import { createReadStream, createWriteStream } from 'node:fs';
import { realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { errorCode, GatewayError } from '../core/errors.js';
import { printable } from '../events/encode.js';
import { Runtime, type RuntimeOptions } from '../runtime/runtime.js';
import type { Sandbox, SandboxInfo } from '../runtime/sandbox.js';
import { ErrInvalidConfig, ErrVMNotFound } from '../vm/index.js';
import { EXIT_USAGE, type Io } from './io.js';
import { statePaths } from './paths.js';

const EXIT_FAILED = 1;

/** Codes of what the caller said wrong. */
const USAGE: ReadonlySet<string> = new Set([
  'CONFIG_INVALID',
  'VM_CONFIG_INVALID',
  'NETWORK_CONFIG_INVALID',
  'MOUNT_CONFIG_INVALID',
]);

/** Opens the home for `work`, and says what fails. */
export async function withRuntime(
  io: Io,
  work: (runtime: Runtime, homeDir: string) => Promise<number>,
  options: Pick<RuntimeOptions, 'imageRegistries'> = {},
): Promise<number> {
  const { state, ca } = statePaths(process.env);
  const runtime = new Runtime({ homeDir: state, caDir: ca, ...options });
  try {
    return await work(runtime, state);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    io.stderr(`sallyport: ${printable(error.message).replaceAll('\\u000a', '\n')}\n`);
    return USAGE.has(error.code) ? EXIT_USAGE : EXIT_FAILED;
  } finally {
    await runtime.close();
  }
}

/** Throws `VM_NOT_FOUND`. */
export async function named(runtime: Runtime, name: string): Promise<Sandbox> {
  const sandbox = await runtime.get(name);
  if (sandbox === null)
    throw new ErrVMNotFound(`there is no sandbox ${name}; sallyport vm ls lists those there are`);
  return sandbox;
}

export async function runStart(name: string, io: Io): Promise<number> {
  return await withRuntime(io, async runtime => {
    await (await named(runtime, name)).start({ detach: true });
    return 0;
  });
}

export async function runList({ json }: { readonly json: boolean }, io: Io): Promise<number> {
  return await withRuntime(io, async runtime => {
    const infos = await runtime.list();
    if (json) for (const info of infos) io.stdout(`${JSON.stringify(info)}\n`);
    else io.stdout(tableOf(infos));
    return 0;
  });
}

function tableOf(infos: readonly SandboxInfo[]): string {
  const rows = [
    ['ID', 'NAME', 'STATE', 'BACKEND', 'IMAGE', 'CREATED'],
    ...infos.map(({ id, name, state, backend, image, createdAt }) => {
      return [id, name, state, backend, image || '-', new Date(createdAt).toISOString().slice(0, 19)];
    }),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0))) ?? [];
  const line = (row: readonly string[]): string =>
    row
      .map((text, at) => text.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd();
  return rows.map(row => `${line(row)}\n`).join('');
}

export async function runInfo(name: string, io: Io): Promise<number> {
  return await withRuntime(io, async runtime => {
    const sandbox = await named(runtime, name);
    io.stdout(`${JSON.stringify({ ...(await sandbox.info()), config: sandbox.config }, null, 2)}\n`);
    return 0;
  });
}

export async function runStop(
  name: string,
  { grace, force }: { readonly grace: string; readonly force: boolean },
  io: Io,
): Promise<number> {
  return await withRuntime(io, async runtime => {
    const seconds = Number(grace);
    if (!(seconds >= 0 && seconds <= 3600)) throw new ErrInvalidConfig('--grace: 0 to 3600 seconds');
    await (await named(runtime, name)).stop({ graceMs: seconds * 1000, force });
    return 0;
  });
}

export async function runRemove(
  names: readonly string[],
  flags: { readonly force: boolean },
  io: Io,
): Promise<number> {
  return await withRuntime(io, async runtime => {
    for (const name of names) await runtime.remove(name, flags);
    return 0;
  });
}

interface Place {
  /** Null: the host. */
  readonly sandbox: string | null;
  readonly path: string;
}

/** `NAME:/PATH` is in a sandbox; anything else is a file of the host. */
export function parsePlace(text: string): Place {
  const match = /^([A-Za-z0-9][A-Za-z0-9_.-]*):(\/.*)$/s.exec(text);
  return { sandbox: match?.[1] ?? null, path: match?.[2] ?? text };
}

export async function runCopy(fromText: string, toText: string, io: Io): Promise<number> {
  return await withRuntime(io, async runtime => {
    const [from, to] = [parsePlace(fromText), parsePlace(toText)];
    if (from.sandbox === null && to.sandbox !== null) {
      await copyIn(await named(runtime, to.sandbox), from.path, to.path);
    } else if (from.sandbox !== null && to.sandbox === null) {
      await copyOut(await named(runtime, from.sandbox), from.path, to.path);
    } else throw new ErrInvalidConfig('one of the two is NAME:/PATH, and the other a file of this host');
    return 0;
  });
}

async function copyIn(sandbox: Sandbox, from: string, to: string): Promise<void> {
  const target = to.endsWith('/') ? `${to}${basename(from)}` : to;
  if (from === '-') return await sandbox.writeFile(target, process.stdin);
  const { mode } = await ownFile(from);
  await sandbox.writeFile(target, createReadStream(from), { mode: mode & 0o777 });
}

async function ownFile(path: string): Promise<{ readonly mode: number }> {
  const found = await stat(path).catch(() => null);
  if (found?.isFile() === true) return found;
  throw new ErrInvalidConfig(
    found === null ? `${path} does not exist` : `${path} is no file: send a folder as a tar`,
  );
}

async function copyOut(sandbox: Sandbox, from: string, to: string): Promise<void> {
  const content = await sandbox.readFileStream(from);
  if (to === '-') return await pipeline(content, process.stdout, { end: false });
  try {
    const folder = (await stat(to).catch(() => null))?.isDirectory() === true;
    await writeHost(content, folder ? join(to, basename(from)) : to);
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw new GatewayError(
      'FILE_FAILED',
      `${to} cannot be written (${errorCode(error)}); nothing was changed`,
      {
        cause: error,
      },
    );
  }
}

/** A pipe or a device is written to as it is; a file is whole or the old one. */
async function writeHost(content: Readable, path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found !== null && !found.isFile()) return await pipeline(content, createWriteStream(path));
  const target = found === null ? path : await realpath(path);
  const part = `${target}.${process.pid}.part`;
  const mode = found === null ? 0o666 : found.mode & 0o777;
  try {
    await pipeline(content, createWriteStream(part, { flags: 'wx', mode }));
    await rename(part, target);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

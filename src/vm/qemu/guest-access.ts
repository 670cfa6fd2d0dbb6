/**
 * A guest's files, by way of the agent's own operations: nothing of the guest's programs is needed, and paths and links
 * are resolved in the guest, so none leads out of it.
 *
 * Pure but for the channels.
 */
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import type { FileContent, FileInfo, FileKind, WriteOptions } from '../backend.js';
import type { DataFile } from '../command.js';
import { ErrFileFailed, ErrFileNotFound, ErrInvalidConfig, ErrVMUnreachable } from '../errors.js';
import { matchPaths } from '../glob.js';
import type { Channel } from './agent/channel.js';
import { emitList, parseList } from './agent/frames.js';

const nothing = (): null => null;

type Open = (operation: string, fields: readonly string[]) => Channel;

const DEFAULT_MODE = 0o644;
const NOT_FOUND = 2;
/** Names, as many as an image may have; a hostile guest could go on for ever. */
const MOST_LISTING = 256 * 1024 * 1024;
const FIELDS_OF_RECORD = 5;
const KINDS: ReadonlySet<string> = new Set(['file', 'directory', 'symlink', 'other']);

export class GuestFileAccess {
  readonly #open: Open;

  constructor(open: Open) {
    this.#open = open;
  }

  async writeFile(
    path: string,
    content: FileContent,
    { mode = DEFAULT_MODE }: WriteOptions = {},
  ): Promise<void> {
    const channel = this.#start('write', [path, String(mode)]);
    channel.stdout.resume();
    const source =
      content instanceof Readable ? content : Readable.from([Buffer.from(content)], { objectMode: false });
    const said = text(channel.stderr);
    const fed = pipeline(source, channel.stdin).then(
      () => null,
      error => error as unknown,
    );
    // What broke the source is the caller's; that the guest took no more is told by how its side ended.
    const broken = await Promise.race([fed, channel.exit.then(nothing, nothing)]);
    if (broken !== null && source.errored) {
      channel.close();
      throw broken;
    }
    await this.#conclude(channel, path, await said);
  }

  async readFileStream(path: string): Promise<Readable> {
    const channel = this.#start('read', [path]);
    channel.stdin.end();
    return Readable.from(this.#bytesOf(channel, path), { objectMode: false });
  }

  async readFile(path: string): Promise<Uint8Array> {
    return await buffer(await this.readFileStream(path));
  }

  async listFiles(path: string): Promise<readonly FileInfo[]> {
    return await this.#records('list', path);
  }

  async searchFiles(path: string, pattern: string): Promise<readonly FileInfo[]> {
    const matches = matchPaths(pattern);
    return (await this.#records('walk', path)).filter(file => matches(posix.relative(path, file.path)));
  }

  /** Those of `paths` where something is; a `*` in one stands for every name of a folder. */
  async existing(paths: readonly string[]): Promise<readonly string[]> {
    const items = parseList(await this.#output(this.#start('exist', paths), '/'));
    return (items ?? []).map(item => item.toString());
  }

  /** Lays all of them, links on the way followed. */
  async putFiles(files: readonly (DataFile & { readonly mode?: number })[]): Promise<void> {
    const channel = this.#start('put', []);
    channel.stdout.resume();
    const fields = files.flatMap(({ path, mode = DEFAULT_MODE, content }) => [
      path,
      mode.toString(8),
      content,
    ]);
    channel.stdin.end(emitList(fields));
    await this.#conclude(channel, 'files', await text(channel.stderr));
  }

  async mount(type: string, source: string, options: string, path: string): Promise<void> {
    const channel = this.#start('mount', [type, source, options, path]);
    channel.stdin.end();
    channel.stdout.resume();
    const said = await text(channel.stderr);
    const { code } = await channel.exit;
    if (code !== 0) throw new ErrFileFailed(`cannot mount at ${path}: ${said.trim().slice(0, MOST_SAID)}`);
  }

  #start(operation: string, fields: readonly string[]): Channel {
    if (fields.some(field => field.includes('\0'))) throw new ErrInvalidConfig('a path holds a NUL');
    return this.#open(operation, fields);
  }

  async #records(operation: string, path: string): Promise<readonly FileInfo[]> {
    const channel = this.#start(operation, [path]);
    const fields = parseList(await this.#output(channel, path)) ?? [];
    const files: FileInfo[] = [];
    for (let at = 0; at + FIELDS_OF_RECORD <= fields.length; at += FIELDS_OF_RECORD) {
      files.push(infoOf(path, fields.slice(at, at + FIELDS_OF_RECORD).map(String)));
    }
    return files.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  async #output(channel: Channel, path: string): Promise<Buffer> {
    channel.stdin.end();
    const said = text(channel.stderr);
    const chunks: Buffer[] = [];
    let held = 0;
    for await (const chunk of channel.stdout) {
      held += (chunk as Buffer).length;
      if (held > MOST_LISTING) {
        channel.close();
        throw new ErrFileFailed(`${path}: the listing is larger than ${MOST_LISTING} bytes`);
      }
      chunks.push(chunk as Buffer);
    }
    await this.#conclude(channel, path, await said);
    return Buffer.concat(chunks);
  }

  async *#bytesOf(channel: Channel, path: string): AsyncGenerator<Buffer> {
    const said = text(channel.stderr);
    let whole = false;
    try {
      for await (const chunk of channel.stdout) yield chunk as Buffer;
      whole = true;
    } finally {
      if (!whole) channel.close();
    }
    await this.#conclude(channel, path, await said);
  }

  async #conclude(channel: Channel, path: string, said: string): Promise<void> {
    const exit = await channel.exit.catch(cause => {
      throw new ErrVMUnreachable(`${path}: ${cause.message}`, { cause });
    });
    if (exit.code === 0 && exit.signal === 0) return;
    const [, errno, where = path] = /^(\d+) (.*)$/s.exec(said) ?? [];
    if (Number(errno) === NOT_FOUND)
      throw new ErrFileNotFound(`${where}: no such file or folder in the sandbox`);
    throw new ErrFileFailed(`${where}: ${errnoText(Number(errno), said)}`);
  }
}

const MOST_SAID = 300;

function infoOf(
  folder: string,
  [name = '', kind = '', size = '', mode = '', time = '']: readonly string[],
): FileInfo {
  const path = posix.join(folder, name);
  const known = (KINDS.has(kind) ? kind : 'other') as FileKind;
  return {
    name: posix.basename(path),
    path,
    kind: known,
    isDir: known === 'directory',
    sizeBytes: Number(size),
    mode: Number(mode),
    modifiedMs: Number(time) * 1000,
  };
}

/** What a person needs to know of errno(3). */
const TEXTS: ReadonlyMap<number, string> = new Map([
  [13, 'permission denied'],
  [20, 'is not a folder'],
  [21, 'is a folder'],
  [27, 'is too large'],
  [28, "the sandbox's disk is full"],
  [30, 'the file system is read-only'],
  [39, 'is not empty'],
  [40, 'too many links'],
]);

function errnoText(errno: number, said: string): string {
  return (
    TEXTS.get(errno) ??
    (Number.isNaN(errno) ? said.trim().slice(0, MOST_SAID) || 'it failed' : `error ${errno}`)
  );
}

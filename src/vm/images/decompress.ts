/**
 * The plain bytes of a packed layer or archive, within bounds (shell: zlib's thread, or the program zstd).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Duplex, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as zlib from 'node:zlib';
import { errorCode, GatewayError } from '../../core/errors.js';
import { findProgram, SYSTEM_PATH } from '../../net/vestibule/index.js';

export type Packing = 'none' | 'gzip' | 'zstd';

export interface Bounds {
  /** Of the plain bytes, whatever they came from. */
  readonly maxBytes: number;
  readonly signal?: AbortSignal | undefined;
}

/** Plain bytes that anything may have, and how many more for each packed one. */
const FREE_BYTES = 64 * 1024 * 1024;
const MAX_RATIO = 200;

/** How content is packed, told by its first bytes: a media type can be wrong, and digests say the rest. */
export function packingOf(first: Uint8Array): Packing {
  const [a = 0, b = 0, c = 0, d = 0] = first;
  if (a === 0x1f && b === 0x8b) return 'gzip';
  if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) return 'zstd';
  return 'none';
}

/**
 * The plain bytes of `packed`. Throws `IMAGE_INVALID` for what is cut short or damaged, `LIMIT_EXCEEDED` for more
 * bytes than the bounds or than such a size can honestly hold.
 */
export async function* unpacked(
  packed: AsyncIterable<Uint8Array>,
  { maxBytes, signal }: Bounds,
): AsyncGenerator<Uint8Array> {
  let received = 0;
  let given = 0;
  const counted = countedBy(packed, length => {
    received += length;
  });
  for await (const chunk of plainOf(counted)) {
    signal?.throwIfAborted();
    given += chunk.length;
    if (given > maxBytes)
      throw new GatewayError('LIMIT_EXCEEDED', `it unpacks to more than ${maxBytes} bytes`);
    if (given > FREE_BYTES + MAX_RATIO * received) {
      throw new GatewayError('LIMIT_EXCEEDED', `it unpacks to more than ${MAX_RATIO} times its size`);
    }
    yield chunk;
  }
}

async function* countedBy(
  chunks: AsyncIterable<Uint8Array>,
  count: (length: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    count(chunk.length);
    yield chunk;
  }
}

async function* plainOf(packed: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    const { first, all } = await peeked(packed);
    const packing = packingOf(first);
    if (packing === 'none') yield* all;
    else yield* through(all, packing === 'gzip' ? gunzip() : zstdDecoder(), packing);
  } finally {
    // Whoever stops reading early, before what is above began or after, lets go of the file.
    await packed.return(undefined);
  }
}

function gunzip(): Duplex {
  return zlib.createGunzip({ chunkSize: 256 * 1024 });
}

async function* through(
  all: AsyncIterable<Uint8Array>,
  decoder: Duplex,
  packing: Packing,
): AsyncGenerator<Uint8Array> {
  // The output is read here while the input is written there; the first of them to fail ends both.
  const writing = pipeline(all, decoder as NodeJS.ReadWriteStream).then(
    () => null,
    (error: unknown) => error,
  );
  try {
    for await (const chunk of decoder as Readable) yield chunk as Uint8Array;
  } catch (error) {
    throw damaged(error, packing);
  } finally {
    decoder.destroy();
  }
  const failure = await writing;
  if (failure !== null) throw damaged(failure, packing);
}

function damaged(error: unknown, packing: Packing): unknown {
  if (error instanceof GatewayError) return error;
  const isOurs = /^(Z_|ERR_STREAM_PREMATURE|EPIPE|ERR_ZSTD|ZSTD)/.test(errorCode(error));
  return isOurs
    ? new GatewayError('IMAGE_INVALID', `it is damaged ${packing}, or cut short`, { cause: error })
    : error;
}

/** Until four bytes are there, or the end. */
async function peeked(
  chunks: AsyncGenerator<Uint8Array>,
): Promise<{ readonly first: Uint8Array; readonly all: AsyncGenerator<Uint8Array> }> {
  const held: Uint8Array[] = [];
  let bytes = 0;
  while (bytes < 4) {
    const { value, done } = await chunks.next();
    if (done) break;
    held.push(value);
    bytes += value.length;
  }
  const first = Buffer.concat(held);
  return { first, all: prefixed(first, chunks) };
}

async function* prefixed(first: Uint8Array, rest: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (first.length > 0) yield first;
  yield* rest;
}

/** Node's own from 22.15 on; before that the program. */
function zstdDecoder(): Duplex {
  const make: unknown = Reflect.get(zlib, 'createZstdDecompress');
  if (typeof make === 'function') return make() as Duplex;
  const program = findProgram('zstd');
  if (program === null) {
    throw new GatewayError(
      'TOOL_MISSING',
      'a layer is packed with zstd: install the program zstd, or run Node 22.15',
    );
  }
  const child = spawn(program, ['-d', '-c', '-q', '--no-sparse'], {
    env: { PATH: SYSTEM_PATH },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const stream = Duplex.from({ writable: child.stdin, readable: checkedOutput(child) });
  stream.once('close', () => child.kill('SIGKILL'));
  return stream;
}

async function* checkedOutput(child: ReturnType<typeof spawn>): AsyncGenerator<Uint8Array> {
  const exit = once(child, 'exit');
  for await (const chunk of child.stdout ?? []) yield chunk as Uint8Array;
  const [code] = await exit;
  if (code !== 0) throw new GatewayError('IMAGE_INVALID', 'it is damaged zstd, or cut short');
}

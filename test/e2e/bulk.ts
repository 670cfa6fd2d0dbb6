/** Long bodies both ways, and what they cost the gateway in memory. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type http from 'node:http';
import { Readable } from 'node:stream';
import type { Stage } from './stage.js';

const PIECE = Buffer.alloc(1 << 20, 'the quick brown fox jumps over the lazy dog ');

/** `bytes` of content, in pieces of a mebibyte. */
function* content(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= PIECE.length)
    yield PIECE.subarray(0, Math.min(left, PIECE.length));
}

/** GET gives `?bytes=N`, chunked with `&chunked`; anything else is counted and answered with the count. */
export function bulkHandler(request: http.IncomingMessage, response: http.ServerResponse): void {
  const url = new URL(request.url ?? '/', 'https://bulk');
  if (request.method === 'GET') {
    const bytes = Number(url.searchParams.get('bytes'));
    if (!url.searchParams.has('chunked')) response.setHeader('Content-Length', bytes);
    Readable.from(content(bytes)).pipe(response);
    return;
  }
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  const framing = request.headers['content-length'] === undefined ? 'chunked' : 'length';
  request.on('end', () => response.end(`${framing} ${bytes}\n`));
}

export function digestOf(bytes: number): string {
  const hash = createHash('sha256');
  for (const piece of content(bytes)) hash.update(piece);
  return hash.digest('hex');
}

/** Peak resident memory of a process, in MiB (`VmHWM`). */
function peakMiB(pid: number): number {
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kibibytes) / 1024;
}

export interface Measured {
  readonly lines: readonly string[];
  /** By how much the gateway's peak has grown since before the first script, in MiB. */
  readonly growthMiB: number;
}

/** Runs each script in one sandbox, and takes the gateway's peak before the first and after the last. */
export async function measure(stage: Stage, scripts: readonly string[]): Promise<Measured> {
  // The command waits for a line on its input before the first script, and after the last.
  const child = stage.start(`echo ready; read go; ${scripts.join('; ')}; echo finished; read end`);
  let output = '';
  child.stdout.on('data', chunk => {
    output += chunk;
  });
  child.stderr.on('data', chunk => {
    output += chunk;
  });
  const saw = async (word: string): Promise<void> => {
    while (!output.includes(`${word}\n`)) {
      if (child.exitCode !== null) throw new Error(`it ended early: ${output}`);
      await new Promise(resolve => setTimeout(resolve, 20));
    }
  };
  await saw('ready');
  const before = peakMiB(child.pid ?? 0);
  child.stdin.write('\n');
  await saw('finished');
  const growthMiB = peakMiB(child.pid ?? 0) - before;
  child.stdin.end('\n');
  await new Promise(resolve => child.once('close', resolve));
  return { lines: output.split('\n').slice(1), growthMiB };
}

/** Down and up, with a length and chunked: scripts for a sandbox, and the lines that they print. */
export function bulkRuns(
  name: string,
  bytes: number,
): readonly { readonly script: string; readonly line: string }[] {
  const digest = digestOf(bytes);
  const url = `https://${name}/bulk?bytes=${bytes}`;
  const curl = 'curl -sS --http1.1';
  const upload = `head -c ${bytes} /dev/zero`;
  return [
    { script: `${curl} '${url}' | sha256sum`, line: `${digest}  -` },
    { script: `${curl} '${url}&chunked' | sha256sum`, line: `${digest}  -` },
    { script: `${upload} | ${curl} -T - https://${name}/bulk`, line: `chunked ${bytes}` },
    {
      script: `${upload} | ${curl} -H 'Content-Length: ${bytes}' -H 'Transfer-Encoding:' -T - https://${name}/bulk`,
      line: `length ${bytes}`,
    },
  ];
}

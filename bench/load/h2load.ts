/** HTTP/2 by nghttp2's own load generator (shell: a child process). */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { FILES_HOST, type Outcome, type Route, type Work } from './command.js';

/** Rejects when h2load is not there or its output cannot be read. */
export async function h2load(
  { clients, streams, seconds }: Extract<Work, { kind: 'h2' }>,
  route: Route,
  token: string,
  begin: () => void,
): Promise<Outcome> {
  if (route.via === 'connect') throw new Error('h2load speaks no CONNECT');
  const to = route.via === 'direct' ? [`--connect-to=${route.address}:${route.filesPort}`] : [];
  const load = spawn(
    'h2load',
    [
      '--npn-list=h2',
      `--duration=${Math.ceil(seconds)}`,
      `--clients=${clients}`,
      `--max-concurrent-streams=${streams}`,
      `--header=authorization: Bearer ${token}`,
      ...to,
      `https://${FILES_HOST}:${route.filesPort}/1k`,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  begin();
  const [output] = await Promise.all([
    text(load.stdout),
    text(load.stderr),
    new Promise(resolve => load.once('close', resolve)),
  ]);
  return outcomeOf(output, Math.ceil(seconds));
}

function outcomeOf(output: string, seconds: number): Outcome {
  const number = (pattern: RegExp): number => Number(pattern.exec(output)?.[1] ?? Number.NaN);
  const good = number(/status codes: (\d+) 2xx/);
  if (Number.isNaN(good)) throw new Error(`h2load: ${output.slice(0, 500)}`);
  const errors: Record<string, number> = {};
  // Of requests that the end of the time cut off nobody knows what became.
  for (const [name, count] of [
    ['status-3xx', number(/(\d+) 3xx/)],
    ['status-4xx', number(/(\d+) 4xx/)],
    ['status-5xx', number(/(\d+) 5xx/)],
    ['failed', number(/(\d+) failed/)],
  ] as const) {
    if (count > 0) errors[name] = count;
  }
  const done = number(/(\d+) succeeded/);
  const data = number(/\((\d+)\) data/);
  // The last answer of each stream may have been cut off.
  if (!/protocol: h2/i.test(output)) errors.protocol = 1;
  if (data < done * 1024) errors.length = 1;
  const milliseconds = (pattern: RegExp): number => {
    const match = pattern.exec(output);
    const unit = match?.[2] === 'us' ? 0.001 : match?.[2] === 's' ? 1000 : 1;
    return Number(match?.[1] ?? Number.NaN) * unit;
  };
  // "min max mean sd": it tells no percentiles.
  const mean = milliseconds(/time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)/);
  const max = milliseconds(/time for request:\s+\S+\s+([\d.]+)(us|ms|s)/);
  return { count: good, bytes: good * 1024, seconds, p50: mean, p99: max, errors };
}

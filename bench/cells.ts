/** What is measured: a name for the table, the load, and which numbers tell. */
import type { Outcome, Work } from './load/command.js';
import type { BenchOptions } from './options.js';
import { WARM_BYTES } from './workshop.js';

/** How long a rate is measured, and what a transfer moves. */
export interface Amount {
  readonly seconds: number;
  readonly bytes: number;
  /** Of the upstream's, with so many bytes. */
  readonly path: string;
}

export interface Cell {
  readonly name: string;
  readonly title: string;
  /** The rate's unit; `higher` or lower is better. */
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  readonly value: (outcome: Outcome) => number;
  /** Processor time is told for each of these. */
  readonly per: { readonly unit: string; readonly count: (outcome: Outcome) => number };
  readonly work: (amount: Amount, round: number) => Work;
  /** No warm-up: the beginning is what is measured. */
  readonly cold?: boolean;
  readonly h2?: boolean;
}

const REQUEST = { unit: 'CPU µs a request', count: (outcome: Outcome) => outcome.count };
const GIB = { unit: 'CPU ms a GiB', count: (outcome: Outcome) => (outcome.bytes / 2 ** 30) * 1000 };
const perSecond = (outcome: Outcome): number => outcome.count / outcome.seconds;
const megabytes = (outcome: Outcome): number => outcome.bytes / 1e6 / outcome.seconds;

export function measuredAmount({ seconds, bigBytes }: BenchOptions): Amount {
  return { seconds, bytes: bigBytes, path: '/big' };
}

/** What is done right before, and not counted: what a peer does first after a rest is no rate. */
export function warmAmount({ warmSeconds, bigBytes }: BenchOptions): Amount {
  return { seconds: warmSeconds, bytes: Math.min(bigBytes, WARM_BYTES), path: '/warm' };
}

export function cellsOf({ bigBytes, visits, cells }: BenchOptions): readonly Cell[] {
  const rate = { unit: 'requests/s', better: 'higher', value: perSecond, per: REQUEST } as const;
  const bulk = { unit: 'MB/s', better: 'higher', value: megabytes, per: GIB } as const;
  const size = bigBytes >= 2 ** 30 ? '1 GiB' : `${bigBytes / 2 ** 20} MiB`;
  const all: readonly Cell[] = [
    ...[1, 16, 64].map(clients => ({
      name: `keep-alive-${clients}`,
      title: `keep-alive, ${clients} clients`,
      ...rate,
      work: ({ seconds }: Amount): Work => ({ kind: 'keep-alive', clients, seconds }),
    })),
    {
      name: 'handshakes',
      title: 'full handshakes, 8 clients',
      ...rate,
      work: ({ seconds }) => ({ kind: 'handshakes', clients: 8, seconds }),
    },
    {
      name: 'first-visit',
      title: 'first visit to a new host, p50',
      unit: 'ms',
      better: 'lower',
      value: outcome => outcome.p50,
      per: REQUEST,
      cold: true,
      work: (_, round) => ({ kind: 'first-visits', from: round * visits, hosts: visits }),
    },
    {
      name: 'download',
      title: `${size} down`,
      ...bulk,
      work: ({ path, bytes }) => ({ kind: 'download', path, bytes }),
    },
    {
      name: 'upload',
      title: `${size} up, content-length`,
      ...bulk,
      work: ({ bytes }) => ({ kind: 'upload', bytes, chunked: false }),
    },
    {
      name: 'upload-chunked',
      title: `${size} up, chunked`,
      ...bulk,
      work: ({ bytes }) => ({ kind: 'upload', bytes, chunked: true }),
    },
    {
      name: 'h2',
      title: 'HTTP/2, 4 clients of 16 streams',
      ...rate,
      h2: true,
      work: ({ seconds }) => ({ kind: 'h2', clients: 4, streams: 16, seconds }),
    },
  ];
  return all.filter(cell => cells === null || cells.has(cell.name));
}

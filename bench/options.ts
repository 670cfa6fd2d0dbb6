/** The command line of the bench. */
import { parseArgs } from 'node:util';

export interface BenchOptions {
  readonly quick: boolean;
  readonly rounds: number;
  readonly seconds: number;
  /** How long a rate's own work goes before it is counted. */
  readonly warmSeconds: number;
  readonly bigBytes: number;
  /** First visits in one round. */
  readonly visits: number;
  /** Names of cells and of columns to keep; null: all. */
  readonly cells: ReadonlySet<string> | null;
  readonly columns: ReadonlySet<string> | null;
  readonly memory: boolean;
  readonly port: number;
}

const MIB = 1 << 20;

/** Exits with the usage on a flag that it does not know. */
export function readOptions(argv: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      mib: { type: 'string' },
      cells: { type: 'string' },
      peers: { type: 'string' },
      'no-memory': { type: 'boolean', default: false },
      port: { type: 'string' },
    },
  });
  const { quick } = values;
  const list = (text: string | undefined): ReadonlySet<string> | null =>
    text === undefined ? null : new Set(text.split(','));
  return {
    quick,
    rounds: Number(values.rounds ?? (quick ? 1 : 5)),
    seconds: Number(values.seconds ?? (quick ? 0.5 : 3)),
    warmSeconds: quick ? 0.1 : 1,
    bigBytes: Number(values.mib ?? (quick ? 16 : 1024)) * MIB,
    visits: quick ? 10 : 50,
    cells: list(values.cells),
    columns: list(values.peers),
    memory: !quick && !values['no-memory'],
    // Two runs on one machine are slow, but must not meet; below the ports that the kernel gives out.
    port: Number(values.port ?? 18_000 + (process.pid % 120) * 100),
  };
}

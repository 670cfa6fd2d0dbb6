/** What is written down of a sandbox: one JSON file, with the names of files. Pure. No value of a secret is in it. */
import { z } from 'zod';
import { type Config, ErrInvalidConfig } from '../vm/index.js';
import { toCamel, toSnake } from './codec.js';
import { emitConfig, parseConfig } from './config.js';

/** `created` and the two ends take a start; `running` takes commands. */
export type SandboxState = 'created' | 'starting' | 'running' | 'stopping' | 'stopped' | 'failed';

export interface SandboxRecord {
  readonly id: string;
  readonly name: string;
  readonly backend: string;
  /** It outlives whoever starts it. */
  readonly detach: boolean;
  readonly state: SandboxState;
  /** Why it is in this state; empty where there is nothing to say. */
  readonly message: string;
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  /** Of the process that holds it; null while none does. */
  readonly supervisorPid: number | null;
  /** Secrets that were given by value, which is not here. */
  readonly literalSecrets: readonly string[];
  /** What holds the machine to its limits, and what else is told of the start; of the last one. */
  readonly limits: string;
  readonly notes: readonly string[];
  readonly config: Config;
}

const schema = z.strictObject({
  version: z.literal(1),
  id: z.string(),
  name: z.string(),
  backend: z.string(),
  detach: z.boolean(),
  state: z.enum(['created', 'starting', 'running', 'stopping', 'stopped', 'failed']),
  message: z.string(),
  created_at: z.number(),
  started_at: z.number().nullable(),
  ended_at: z.number().nullable(),
  supervisor_pid: z.int().nullable(),
  literal_secrets: z.array(z.string()),
  // A version before wrote neither.
  limits: z.string().default(''),
  notes: z.array(z.string()).default([]),
  config: z.unknown(),
});

/** Somebody holds it, or died holding it. */
export function isLive(state: SandboxState): boolean {
  return state === 'starting' || state === 'running' || state === 'stopping';
}

export function emitRecord({ config, ...record }: SandboxRecord): string {
  const fields = toSnake(record) as object;
  return `${JSON.stringify({ version: 1, ...fields, config: emitConfig(withoutValues(config)) }, null, 2)}\n`;
}

/** Throws `ErrInvalidConfig`. */
export function parseRecord(text: string): SandboxRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ErrInvalidConfig('the state file of a sandbox is no JSON', { cause });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new ErrInvalidConfig(`the state file of a sandbox: ${parsed.error.message}`);
  const { version: _, config, ...fields } = parsed.data;
  return { ...(toCamel(fields) as Omit<SandboxRecord, 'config'>), config: parseConfig(config) };
}

/** The configuration as it may be written down and shown. */
export function withoutValues(config: Config): Config {
  const { secrets } = config.network;
  if (secrets === undefined) return config;
  const kept = Object.entries(secrets).map(([name, { value: _, ...spec }]) => [name, spec] as const);
  return { ...config, network: { ...config.network, secrets: Object.fromEntries(kept) } };
}

export function valuesOf(config: Config): ReadonlyMap<string, string> {
  const secrets = Object.entries(config.network.secrets ?? {});
  return new Map(
    secrets.flatMap(([name, { value }]) => (value === undefined ? [] : [[name, value] as const])),
  );
}

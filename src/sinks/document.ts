/**
 * The file of `--events` and the URLs of `--event-sink`, as what is to be opened. Pure.
 *
 * Whoever reads a sink's settings takes them from here: `schema.ts` has checked every leaf.
 */
import { err, ok, type Result } from '../core/result.js';
import { compileFilter, type EventFilter } from '../events/filter.js';
import { type Problem, quoted } from '../policy/problem.js';
import { schemaProblems } from '../policy/schema-problems.js';
import { parseYaml, type YamlText } from '../policy/yaml.js';
import type { DeliverySettings } from './delivery.js';
import {
  type CredentialInput,
  type MetricsInput,
  type SinkInput,
  sinksJsonSchema,
  sinksSchema,
} from './schema.js';
import { parseDuration } from './values.js';

export interface SinksDocument {
  readonly sinks: readonly SinkInput[];
  /** Null: none. */
  readonly metrics: MetricsInput | null;
}

/** Reads YAML or JSON. An empty file has no sinks. */
export function parseSinks(text: string): Result<SinksDocument, readonly Problem[]> {
  const yaml = parseYaml(text);
  return yaml.ok ? sinksFrom(yaml.value.value ?? {}, yaml.value) : yaml;
}

/** Reads a value that is plain already: an option of the library, or a parsed file. */
export function sinksFrom(value: unknown, text?: YamlText): Result<SinksDocument, readonly Problem[]> {
  const parsed = sinksSchema.safeParse(value);
  if (!parsed.success) return err(schemaProblems(parsed.error.issues, value, text, sinksJsonSchema));
  const sinks = parsed.data.sinks ?? [];
  const problems = [...sameNames(sinks, text), ...sameFiles(sinks, text)];
  return problems.length > 0 ? err(problems) : ok({ sinks, metrics: parsed.data.metrics ?? null });
}

function sameNames(sinks: readonly SinkInput[], text?: YamlText): Problem[] {
  const seen = new Set<string>();
  return sinks.flatMap((sink, i) => {
    const { name } = sink;
    if (name === undefined) return [];
    if (seen.has(name)) return [problem(i, 'name', `${quoted(name)} is the name of another sink`, text)];
    seen.add(name);
    return [];
  });
}

/** Two writers of one file would each write into the other's lines. */
function sameFiles(sinks: readonly SinkInput[], text?: YamlText): Problem[] {
  const seen = new Set<string>();
  return sinks.flatMap((sink, i) => {
    const file = fileOf(sink);
    if (file === null) return [];
    const key = sink.type === 'file' ? 'path' : 'dead_letter';
    if (seen.has(file)) return [problem(i, key, `${quoted(file)} is written by another sink`, text)];
    seen.add(file);
    return [];
  });
}

function fileOf(sink: SinkInput): string | null {
  if (sink.type === 'file') return sink.path;
  if (sink.type === 'stdout') return '-';
  return 'dead_letter' in sink ? (sink.dead_letter?.file ?? null) : null;
}

function problem(index: number, key: string, message: string, text?: YamlText): Problem {
  const line = text?.lineOf(['sinks', index, key]);
  const path = `sinks[${index}].${key}`;
  return line === undefined ? { path, message } : { path, message, line };
}

/** What stands in events, metrics and reports. */
export function nameOf(sink: SinkInput, index: number): string {
  return sink.name ?? `${sink.type}-${index + 1}`;
}

/** Every credential of a document. */
export function credentialsIn({ sinks, metrics }: SinksDocument): readonly CredentialInput[] {
  const own = metrics?.token_from === undefined ? [] : [metrics.token_from];
  return [...own, ...sinks.flatMap(credentialsOf)];
}

/** Files and sockets that no sandbox may see. */
export function filesIn(document: SinksDocument): readonly string[] {
  const sockets = [document.metrics?.listen ?? ''].flatMap(socketOf);
  const secrets = credentialsIn(document).flatMap(({ file }) => file ?? []);
  return [...sockets, ...secrets, ...document.sinks.flatMap(ownFilesOf)];
}

function credentialsOf(sink: SinkInput): readonly CredentialInput[] {
  const found: CredentialInput[] = [];
  if ('secret_from' in sink && sink.secret_from) found.push(sink.secret_from);
  if ('token_from' in sink && sink.token_from) found.push(sink.token_from);
  if ('password_from' in sink && sink.password_from) found.push(sink.password_from);
  if ('creds_file' in sink && sink.creds_file) found.push({ file: sink.creds_file });
  if ('headers' in sink && sink.headers) found.push(...Object.values(sink.headers));
  return found;
}

function ownFilesOf(sink: SinkInput): readonly string[] {
  const own = fileOf(sink);
  const files = own === null || own === '-' ? [] : [own];
  return sink.type === 'server' ? [...files, ...socketOf(sink.listen)] : files;
}

function socketOf(listen: string): string[] {
  return listen.startsWith('unix:') ? [listen.slice('unix:'.length)] : [];
}

export function filterOf({ filter }: SinkInput): EventFilter | null {
  if (filter === undefined) return null;
  const compiled = compileFilter(filter);
  // The schema has compiled it before.
  return compiled.ok ? compiled.value : () => true;
}

type Deliverer = Extract<SinkInput, { readonly type: 'webhook' }>;

export function deliverySettings(
  sink: Pick<Deliverer, 'batch' | 'retry' | 'timeout' | 'back_pressure' | 'filter'>,
  name: string,
): DeliverySettings {
  const { batch, retry, timeout } = sink;
  return {
    name,
    whenFull: sink.back_pressure ?? 'drop-and-mark',
    filter: filterOf(sink as SinkInput),
    batchEvents: batch?.events ?? 100,
    waitMs: ms(batch?.wait, 1_000),
    firstPauseMs: ms(retry?.first, 500),
    mostPauseMs: ms(retry?.most, 30_000),
    giveUpMs: retry?.give_up_after === 'never' ? null : ms(retry?.give_up_after, 600_000),
    timeoutMs: ms(timeout, 10_000),
  };
}

export function ms(text: string | undefined, otherwise: number): number {
  const parsed = text === undefined ? null : parseDuration(text);
  return parsed?.ok ? parsed.value : otherwise;
}

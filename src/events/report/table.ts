/**
 * Events as rows that a person reads: when, who, what, where to, how it ended.
 *
 * Pure: the caller prints. Strings of strangers are shown as printable ASCII, so that no row is more than a row.
 */
import { isDenialOrWouldBe } from '../denial.js';
import { printable } from '../encode.js';
import type { Event, NetworkEvent } from '../event.js';

export interface TableOptions {
  readonly colour: boolean;
  /** Columns of the terminal; rows are cut to them. Null: as long as they are. */
  readonly width: number | null;
}

export interface Table {
  readonly header: string;
  row(event: Event): string;
}

const COLUMNS = [
  ['TIME', 12],
  ['SANDBOX', 12],
  ['EVENT', 15],
  ['', 6],
  ['BYTES', 8],
  ['MS', 7],
] as const;

export function createTable({ colour, width }: TableOptions): Table {
  const clipped = (line: string): string =>
    width !== null && line.length > width ? `${line.slice(0, Math.max(1, width - 1))}>` : line;
  return {
    header: clipped(`${COLUMNS.map(([name, size]) => name.padEnd(size)).join(' ')} WHAT`),
    row(event) {
      const text = clipped(rowText(event));
      const paint = colour ? paintOf(event) : null;
      return paint === null ? text : `\u001b[${paint}m${text}\u001b[0m`;
    },
  };
}

function rowText(event: Event): string {
  const { type, timestamp, sandbox, network, exec, file, body } = event;
  const cells = [
    timeText(timestamp),
    cell(sandbox ?? '-', 12),
    cell(type, 15),
    cell(network === undefined ? '' : decisionText(network), 6),
    cell(network === undefined ? (file?.size ?? body?.size ?? '') : byteText(network), 8, true),
    cell((network ?? exec)?.duration_ms.toFixed(0) ?? '', 7, true),
  ];
  return `${cells.join(' ')} ${printable(whatText(event))}`.trimEnd();
}

function cell(value: string | number, size: number, right = false): string {
  const text = printable(`${value}`);
  const cut = text.length > size ? `${text.slice(0, size - 1)}~` : text;
  return right ? cut.padStart(size) : cut.padEnd(size);
}

/** UTC, because a log is compared with other logs. */
function timeText(timestamp: number): string {
  const date = new Date(timestamp);
  return Number.isNaN(date.getTime()) ? '-'.padEnd(12) : date.toISOString().slice(11, 23);
}

function decisionText({ decision, would_deny, status_code }: NetworkEvent): string {
  if (would_deny !== undefined) return 'shadow';
  if (decision === 'deny') return status_code > 0 ? `no ${status_code}` : 'no';
  return status_code > 0 ? `${status_code}` : 'yes';
}

function byteText({ request_bytes, response_bytes }: NetworkEvent): string {
  const bytes = request_bytes + response_bytes;
  return bytes === 0 ? '' : sizeText(bytes);
}

/** `812`, `4.0K`, `1.2M`: at most five characters. */
export function sizeText(bytes: number): string {
  let size = bytes;
  let unit = 0;
  while (size >= 1_000 && unit < UNITS.length - 1) {
    size /= 1_024;
    unit += 1;
  }
  return unit === 0 ? `${bytes}` : `${size.toFixed(size < 10 ? 1 : 0)}${UNITS[unit]}`;
}

const UNITS = ['', 'K', 'M', 'G', 'T'];

function whatText({ type, network, exec, file, body, gateway }: Event): string {
  if (network !== undefined) return networkText(network);
  if (exec !== undefined) {
    const ended = type === 'exec.done' ? ` (exit ${exec.exit_code ?? 'by a signal'})` : '';
    return `${exec.command.join(' ')}${ended}`;
  }
  if (file !== undefined) return `${file.op} ${file.path}`;
  if (body !== undefined) return `${body.side} of ${body.request}, ${body.mime_type || 'no type'}`;
  return [gateway?.message ?? '', ...(gateway?.detail ?? [])].join('; ');
}

function networkText(network: NetworkEvent): string {
  const { layer, method, url, host, port, secrets, would_deny, reason, rule } = network;
  const about = layer === 'dns' ? `${method} ${host}` : url !== '' ? `${method} ${url}` : `${host}:${port}`;
  const carried = secrets.length > 0 ? `  {${secrets.join(', ')}}` : '';
  const why = would_deny ?? reason;
  const by = why !== null && rule !== null ? ` by ${rule}` : '';
  const ruled = why === null ? (rule === null ? '' : `  [${rule}]`) : `  (${why}${by})`;
  return `${about}${carried}${ruled}`;
}

/** Red: no; yellow: shadow, or failed; dim: what is not the network. */
function paintOf(event: Event): number | null {
  if (event.network?.would_deny !== undefined || event.type === 'request.failed') return 33;
  if (isDenialOrWouldBe(event)) return 31;
  return event.network === undefined ? 2 : null;
}

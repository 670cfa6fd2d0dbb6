/**
 * Events as comma-separated values (RFC 4180), one row each.
 *
 * Pure. A spreadsheet takes a field that begins with `=`, `+`, `-` or `@` for a formula, and a stranger chooses the
 * field: such a one gets an apostrophe before it. Everything but printable ASCII is escaped, so that a row is one line.
 */
import { printable } from '../encode.js';
import type { Event, NetworkEvent } from '../event.js';

const NETWORK: readonly (keyof NetworkEvent)[] = [
  'layer',
  'decision',
  'flow',
  'request',
  'method',
  'url',
  'host',
  'port',
  'status_code',
  'request_bytes',
  'response_bytes',
  'duration_ms',
  'reason',
  'block_reason',
  'would_deny',
  'rule',
  'destination',
  'protocol',
  'secrets',
  'generation',
];

const HEAD = ['id', 'time', 'timestamp', 'seq', 'type', 'sandbox'] as const;

export const CSV_HEADER = `${[...HEAD, ...NETWORK, 'text'].join(',')}\r\n`;

/** The row of `event`, line end included. */
export function csvRow(event: Event): string {
  const { id, timestamp, seq, type, sandbox, network } = event;
  const cells = [
    id,
    timeText(timestamp),
    timestamp,
    seq,
    type,
    sandbox,
    ...NETWORK.map(name => network?.[name]),
    otherText(event),
  ];
  return `${cells.map(cell).join(',')}\r\n`;
}

/** What an event that is not of the network says. */
function otherText({ exec, file, body, gateway }: Event): string {
  if (exec !== undefined) return exec.command.join(' ');
  if (file !== undefined) return `${file.op} ${file.path}`;
  if (body !== undefined) return `${body.side} of ${body.request}, ${body.mime_type}, ${body.size} bytes`;
  return gateway === undefined ? '' : [gateway.message, ...gateway.detail].join('; ');
}

function timeText(timestamp: number): string {
  const date = new Date(timestamp);
  return Number.isNaN(date.getTime()) ? '' : date.toISOString();
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number') return `${value}`;
  const text = printable(Array.isArray(value) ? value.join(' ') : String(value));
  const harmless = /^[=+\-@]/.test(text) ? `'${text}` : text;
  return /[",]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

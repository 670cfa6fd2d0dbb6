/**
 * One line of a log back into the event that it is: JSON, of a version that we know, with the fields that every
 * reader stands on.
 *
 * Pure, and quick: a log has millions of lines. What this version does not know stays in the event and is passed over.
 */
import { err, ok, type Result } from '../core/result.js';
import { EVENT_VERSION, type Event } from './event.js';

/** A line that holds no event. */
export interface BadLine {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** Without the line's own text. */
  readonly reason: string;
}

/** The event in `line` (no line feed), or why there is none: a sentence without the line's own text. */
export function parseEvent(line: string): Result<Event, string> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    // The parser's message quotes the line, which may be anybody's.
    return err('not one JSON value');
  }
  return checkEvent(value);
}

/** The event that `value` is. */
export function checkEvent(value: unknown): Result<Event, string> {
  if (typeof value !== 'object' || value === null) return err('not a JSON object');
  const event = value as Record<keyof Event, unknown>;
  if (event.version !== EVENT_VERSION) return err(versionFault(event.version));
  if (typeof event.type !== 'string') return err('type is not a string');
  if (typeof event.id !== 'string') return err('id is not a string');
  if (typeof event.gateway_id !== 'string') return err('gateway_id is not a string');
  if (typeof event.seq !== 'number') return err('seq is not a number');
  if (typeof event.timestamp !== 'number') return err('timestamp is not a number');
  if (event.sandbox !== null && typeof event.sandbox !== 'string') return err('sandbox is not a string');
  const fault = event.network === undefined ? null : networkFault(event.network);
  return fault === null ? ok(value as Event) : err(fault);
}

function versionFault(version: unknown): string {
  if (version === undefined) return 'no event: it has no version';
  const newer = typeof version === 'number' && version > EVENT_VERSION;
  return newer
    ? `of a newer version (${version}); this reader knows ${EVENT_VERSION}`
    : 'of no known version';
}

function networkFault(value: unknown): string | null {
  if (typeof value !== 'object' || value === null) return 'network is not an object';
  const network = value as Record<string, unknown>;
  for (const name of TEXTS) if (typeof network[name] !== 'string') return `network.${name} is not a string`;
  for (const name of NUMBERS) if (typeof network[name] !== 'number') return `network.${name} is not a number`;
  for (const name of NULLABLE) {
    if (network[name] !== null && typeof network[name] !== 'string') return `network.${name} is not a string`;
  }
  if (typeof network.blocked !== 'boolean') return 'network.blocked is not a boolean';
  return Array.isArray(network.secrets) ? null : 'network.secrets is not a list';
}

const TEXTS = ['layer', 'decision', 'method', 'url', 'host', 'protocol'] as const;
const NULLABLE = ['flow', 'request', 'reason', 'rule', 'destination'] as const;
const NUMBERS = [
  'port',
  'status_code',
  'request_bytes',
  'response_bytes',
  'duration_ms',
  'generation',
] as const;

/**
 * An event as a message of syslog (RFC 5424), framed by octet counting (RFC 5425 §4.3).
 *
 * Pure. The whole line of the event is the message, in printable ASCII; what a filter of a syslog daemon asks for first
 * stands in structured data too.
 */

import { isDenial } from '../events/denial.js';
import type { Event } from '../events/event.js';

export interface SyslogFacts {
  /** HOSTNAME: of the host that the gateway runs on. */
  readonly hostname: string;
  readonly appName: string;
  /** 0 to 23 (§6.2.1). */
  readonly facility: number;
  /** The line of an event. */
  readonly encode: (event: Event) => string;
}

const NOTICE = 5;
const WARNING = 4;
const ERROR = 3;
const INFORMATIONAL = 6;

/** `LENGTH SP MESSAGE`, one after another: what goes over the wire. */
export function frame(message: string): string {
  return `${Buffer.byteLength(message)} ${message}`;
}

export function emitSyslog(event: Event, { hostname, appName, facility, encode }: SyslogFacts): string {
  const priority = facility * 8 + severityOf(event);
  const time = timeOf(event.timestamp);
  const head = `<${priority}>1 ${time} ${word(hostname, 255)} ${word(appName, 48)} ${word(event.gateway_id, 128)}`;
  return `${head} ${word(event.type, 32)} ${structured(event)} ${encode(event).trimEnd()}`;
}

function severityOf(event: Event): number {
  if (event.type === 'secret.leak' || event.type === 'sandbox.stopped') return ERROR;
  if (event.type === 'gateway.dropped' || event.type === 'secret.lost' || event.type === 'policy.refused') {
    return WARNING;
  }
  return isDenial(event) ? NOTICE : INFORMATIONAL;
}

/** A time that no calendar has is the nil value. */
function timeOf(timestamp: number): string {
  const ms = Math.trunc(timestamp);
  return Number.isFinite(ms) && ms >= 0 && ms <= MAX_MS ? new Date(ms).toISOString() : '-';
}

/** The last millisecond of the year 9999: RFC 3339 has four digits. */
const MAX_MS = 253_402_300_799_999;

/** `32473` is the enterprise number that documentation may use (RFC 5612): the project has none of its own. */
const SD_ID = 'sallyport@32473';

function structured({ id, seq, sandbox, network }: Event): string {
  const parameters: (readonly [string, string])[] = [
    ['id', id],
    ['seq', String(seq)],
    ...(sandbox === null ? [] : [['sandbox', sandbox] as const]),
    ...(network === undefined
      ? []
      : ([
          ['decision', network.decision],
          ['host', network.host],
          ['reason', network.reason ?? ''],
        ] as const)),
  ];
  const text = parameters
    .filter(([, value]) => value !== '')
    .map(([name, value]) => ` ${name}="${escaped(value)}"`);
  return `[${SD_ID}${text.join('')}]`;
}

const MAX_PARAMETER = 256;

/** §6.3.3: quote, backslash and bracket; the rest is made printable ASCII, so that one message is one line. */
function escaped(value: string): string {
  return value
    .slice(0, MAX_PARAMETER)
    .replace(/[^\x20-\x7e]/g, '?')
    .replace(/["\\\]]/g, '\\$&');
}

/** PRINTUSASCII of a header field, or the nil value. */
function word(text: string, limit: number): string {
  const clean = text.replace(/[^\x21-\x7e]/g, '_').slice(0, limit);
  return clean === '' ? '-' : clean;
}

/** `sallyport events stats` for a person: tables, and a bar for each host. Pure; strangers' text as printable ASCII. */
import { printable } from '../encode.js';
import type { Counted, HostStats, Stats } from './stats.js';
import { sizeText } from './table.js';

export interface StatsTextOptions {
  readonly colour: boolean;
  readonly width: number;
  /** What a bar is made of: a block where the terminal has one, else `#`. */
  readonly bar: string;
  /** Rows of each list. */
  readonly most: number;
}

const NAME = 34;
/** Beside the name: what the numbers of a host's row take. */
const NUMBERS = 58;
const LEAST_BAR = 8;

export function statsText(stats: Stats, options: StatsTextOptions): string {
  const { events, first, last, allowed, denied, failed, wouldDeny, p50Ms, p99Ms } = stats;
  if (events === 0) return 'no events\n';
  const shadowed = wouldDeny > 0 ? `, ${wouldDeny} passed by mode shadow alone` : '';
  const lines = [
    `${events} events, ${momentText(first)} to ${momentText(last)}`,
    `${allowed} allowed, ${denied} denied, ${failed} failed${shadowed}; requests: p50 ${p50Ms} ms, p99 ${p99Ms} ms`,
    ...hostLines(stats, options),
    ...countedLines('REASON', stats.reasons, options),
    ...countedLines('RULE', stats.rules, options),
    '',
    `${'SANDBOX'.padEnd(NAME)} ${'EVENTS'.padStart(9)} ${'BYTES'.padStart(8)}`,
    ...stats.talkers
      .slice(0, options.most)
      .map(({ sandbox, events: times, bytes }) =>
        [named(sandbox), `${times}`.padStart(9), sizeText(bytes).padStart(8)].join(' '),
      ),
    ...more(stats.talkers.length, options),
  ];
  return `${lines.join('\n')}\n`;
}

function hostLines({ hosts, otherHosts }: Stats, options: StatsTextOptions): readonly string[] {
  const most = Math.max(1, ...hosts.map(total));
  const room = Math.max(LEAST_BAR, options.width - NAME - NUMBERS);
  const numbers = ['ALLOWED', 'DENIED', 'FAILED', 'SENT', 'GOT', 'P50 MS', 'P99 MS'];
  return [
    '',
    `${'HOST'.padEnd(NAME)} ${numbers.map(name => name.padStart(7)).join(' ')}`,
    ...hosts.slice(0, options.most).map(host => hostLine(host, most, room, options)),
    ...more(hosts.length, options),
    ...(otherHosts > 0 ? [`  and ${otherHosts} events of hosts beyond those`] : []),
  ];
}

function hostLine(host: HostStats, most: number, room: number, { bar, colour }: StatsTextOptions): string {
  const numbers = [
    host.allowed,
    host.denied,
    host.failed,
    sizeText(host.requestBytes),
    sizeText(host.responseBytes),
    host.p50Ms,
    host.p99Ms,
  ];
  const length = Math.max(1, Math.round((room * total(host)) / most));
  const red = Math.min(length, Math.ceil((length * host.denied) / Math.max(1, total(host))));
  const paint = (code: number, text: string): string =>
    colour && text !== '' ? `\u001b[${code}m${text}\u001b[0m` : text;
  const bars = `${paint(32, bar.repeat(length - red))}${paint(31, (colour ? bar : 'x').repeat(red))}`;
  return `${named(host.host)} ${numbers.map(each => `${each}`.padStart(7)).join(' ')} ${bars}`;
}

function total({ allowed, denied, failed }: HostStats): number {
  return allowed + denied + failed;
}

function countedLines(title: string, list: readonly Counted[], options: StatsTextOptions): readonly string[] {
  if (list.length === 0) return [];
  return [
    '',
    `${title.padEnd(NAME)} ${'EVENTS'.padStart(9)}`,
    ...list.slice(0, options.most).map(({ name, times }) => `${named(name)} ${`${times}`.padStart(9)}`),
    ...more(list.length, options),
  ];
}

function more(count: number, { most }: StatsTextOptions): readonly string[] {
  return count > most ? [`  and ${count - most} more (--json lists all)`] : [];
}

function named(name: string): string {
  const text = printable(name === '' ? '-' : name);
  return (text.length > NAME ? `${text.slice(0, NAME - 1)}~` : text).padEnd(NAME);
}

function momentText(timestamp: number | null): string {
  const date = new Date(timestamp ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? '-' : date.toISOString();
}

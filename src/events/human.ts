/**
 * Events for a person at a terminal: one short line for each kind of refusal, and a summary at the end.
 *
 * Pure: the caller prints. A refusal that repeats is counted, not printed again, so that a program in a loop does not
 * bury the line that explains it. Text of strangers is shown as printable ASCII.
 */
import { SHADOW_WARNING } from '../policy/warnings.js';
import { printable } from './encode.js';
import type { Event, NetworkEvent } from './event.js';

export interface Narrator {
  /** The line for `event`, without a line feed, or null: nothing new to say. */
  line(event: Event): string | null;
  /** `N requests, M refused` and the refused hosts, the most refused first; null if nothing happened. */
  summary(): string | null;
}

export interface NarratorOptions {
  /** ANSI colours: the caller knows the terminal and `NO_COLOR`. */
  readonly colour: boolean;
}

/** Refusals remembered as already said, and hosts counted apart. */
const REMEMBERED = 1_024;

const SHOWN_HOSTS = 5;

/** Longest URL, host or sentence in a line, in characters. */
const SHOWN_TEXT = 200;

interface Tally {
  requests: number;
  refused: number;
  failed: number;
  /** Passed by `mode: shadow`. */
  shadowed: number;
  readonly refusedByHost: Map<string, number>;
  /** The last look-up that was refused, as `host type`: a client asks for A and AAAA of one name. */
  lastLookUp: string;
}

export function createNarrator({ colour }: NarratorOptions): Narrator {
  const said = new Set<string>();
  const tally: Tally = {
    requests: 0,
    refused: 0,
    failed: 0,
    shadowed: 0,
    refusedByHost: new Map(),
    lastLookUp: '',
  };
  const paint = (code: number, text: string): string => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);

  return {
    line(event) {
      count(tally, event);
      const sentence = describe(event);
      if (sentence === null) return null;
      const { type, network } = event;
      const key = `${type} ${network?.host} ${network?.port} ${network?.would_deny ?? network?.reason}`;
      if (network !== undefined) {
        if (said.has(key)) return null;
        if (said.size < REMEMBERED) said.add(key);
      }
      const hint = hintOf(network);
      return `${paint(2, 'sallyport:')} ${paint(31, sentence.verb)} ${sentence.what}${hint}`;
    },
    summary: () => summarise(tally),
  };
}

interface Sentence {
  readonly verb: string;
  readonly what: string;
}

function describe({ type, network, gateway }: Event): Sentence | null {
  if (gateway !== undefined) return describeFact(type, [gateway.message, ...gateway.detail]);
  if (network === undefined) return null;
  if (network.would_deny !== undefined) return describeShadow(type, network, network.would_deny);
  const { method, url, host, port, secrets } = network;
  const why = ` (${shown(network.reason ?? 'unknown')})`;
  switch (type) {
    case 'request.refused':
      return { verb: 'refused', what: `${shown(method)} ${shown(url)}${why}` };
    case 'request.failed':
      return { verb: 'failed', what: `${shown(method)} ${shown(url)}${why}` };
    case 'dns.refused':
      return { verb: 'refused', what: `to look up ${shown(host)}${why}` };
    case 'flow.refused':
      return { verb: 'refused', what: `a connection to ${shown(host)}:${port}${why}` };
    case 'tls.refused':
      return { verb: 'refused', what: `TLS to ${shown(host)}:${port}${why}` };
    case 'secret.leak':
      return {
        verb: 'stopped',
        what: `secret ${shown(secrets.join(', '))} on its way to ${shown(host)}${why}`,
      };
    default:
      return null;
  }
}

/** What `mode: shadow` let pass. */
function describeShadow(
  type: Event['type'],
  { method, url, host, port, rule }: NetworkEvent,
  reason: string,
): Sentence | null {
  const verb = 'would refuse';
  const why = ` (${shown(rule === null ? reason : `${reason} by ${rule}`)})`;
  if (type.startsWith('request.')) return { verb, what: `${shown(method)} ${shown(url)}${why}` };
  if (type === 'dns.answered') return { verb, what: `to look up ${shown(host)}${why}` };
  return type === 'flow.opened' ? { verb, what: `a connection to ${shown(host)}:${port}${why}` } : null;
}

function describeFact(type: Event['type'], texts: readonly string[]): Sentence | null {
  const what = shown(texts.join('; '));
  if (type === 'policy.loaded' && texts.includes(SHADOW_WARNING))
    return { verb: 'WARNING:', what: shown(SHADOW_WARNING) };
  if (type === 'policy.refused') return { verb: 'kept the old policy:', what };
  if (type === 'gateway.dropped') return { verb: 'lost events:', what };
  if (type === 'gateway.repeated') return { verb: 'refused', what };
  return null;
}

function hintOf(network: NetworkEvent | undefined): string {
  const hint = network?.block_reason;
  return hint === undefined || hint === '' ? '' : `: ${shown(hint)}`;
}

function count(tally: Tally, { type, network }: Event): void {
  if (network === undefined || (type === 'dns.refused' && isOtherFamily(tally, network))) return;
  const terminal = type.startsWith('request.') || type === 'flow.refused' || type === 'dns.refused';
  // A tunnel carries no request that is seen: it counts once, when it closes. Only a tunnel's flow is dialled itself.
  const tunnel = type === 'flow.closed' && network.destination !== null;
  if (!terminal && !tunnel && type !== 'tls.refused') return;
  tally.requests += 1;
  if (type === 'request.failed') tally.failed += 1;
  if (network.would_deny !== undefined) tally.shadowed += 1;
  if (!type.endsWith('.refused')) return;
  tally.refused += 1;
  const seen = tally.refusedByHost.get(network.host);
  if (seen !== undefined || tally.refusedByHost.size < REMEMBERED) {
    tally.refusedByHost.set(network.host, (seen ?? 0) + 1);
  }
}

function isOtherFamily(tally: Tally, { host, method }: NetworkEvent): boolean {
  const other = method === 'A' ? 'AAAA' : 'A';
  const repeats = tally.lastLookUp === `${host} ${other}`;
  tally.lastLookUp = repeats ? '' : `${host} ${method}`;
  return repeats;
}

function summarise({ requests, refused, failed, shadowed, refusedByHost }: Tally): string | null {
  if (requests === 0) return null;
  const parts = [`${requests} ${requests === 1 ? 'request' : 'requests'}`, `${refused} refused`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (shadowed > 0) parts.push(`${shadowed} would have been (mode: shadow)`);
  const hosts = [...refusedByHost].sort((a, b) => b[1] - a[1]);
  const named = hosts.slice(0, SHOWN_HOSTS).map(([host, times]) => `${shown(host)} ${times}`);
  if (hosts.length > SHOWN_HOSTS) named.push(`${hosts.length - SHOWN_HOSTS} more`);
  return `sallyport: ${parts.join(', ')}${named.length === 0 ? '' : ` (${named.join(', ')})`}`;
}

function shown(text: string): string {
  const clean = printable(text);
  return clean.length <= SHOWN_TEXT ? clean : `${clean.slice(0, SHOWN_TEXT)}...`;
}

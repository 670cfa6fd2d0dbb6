/**
 * Recorded events as questions to a script: what it was, or would have been, asked then, and how that came out.
 *
 * Pure. A log holds no headers and no contents, so that a script is asked without them.
 */

import { parseUrl } from '../core/authority.js';
import { hostText, parseHostname } from '../core/host.js';
import type { ConnectFacts, HookName, RequestFacts, ResolveFacts, ResponseFacts } from '../policy/hooks.js';
import { type AnyAnswer, answerText } from './examples.js';

export interface Replayed {
  readonly hook: HookName;
  readonly facts: object;
  readonly sandbox: string;
  readonly timestamp: number;
  /** What it is about, for a person. */
  readonly subject: string;
  /** Why it was refused, or null: it was let through. */
  readonly refused: string | null;
}

/** Of an event that we know nothing of, or a line that is none: nothing. What the rules refused, no script was asked. */
export function replayOf(line: string): readonly Replayed[] {
  const event = eventOf(line);
  if (event === null) return [];
  const { type, network } = event;
  const refused = type.endsWith('.refused') ? `${network.reason}: ${network.block_reason ?? ''}` : null;
  if (refused !== null && !network.reason?.startsWith('script')) return [];
  const common = { sandbox: event.sandbox ?? '', timestamp: event.timestamp, refused };
  if (type.startsWith('request.')) return requests(network, common);
  if (type.startsWith('dns.')) {
    const name = parseHostname(network.host);
    if (!name.ok) return [];
    const facts: ResolveFacts = { name: name.value, type: network.method };
    return [{ ...common, hook: 'onResolve', facts, subject: `look-up ${network.method} ${name.value}` }];
  }
  if (type !== 'flow.opened' && type !== 'flow.refused') return [];
  const isAddress = !parseHostname(network.host).ok;
  const facts: ConnectFacts = {
    host: isAddress ? null : network.host,
    address: isAddress ? network.host : '',
    port: network.port,
  };
  return [{ ...common, hook: 'onConnect', facts, subject: `connection to ${network.host}:${network.port}` }];
}

function requests(
  network: Recorded['network'],
  common: Omit<Replayed, 'hook' | 'facts' | 'subject'>,
): Replayed[] {
  const url = parseUrl(network.url);
  if (!url.ok) return [];
  const { authority, path } = url.value;
  const mark = path.indexOf('?');
  const request: RequestFacts = {
    method: network.method,
    scheme: authority.scheme,
    host: hostText(authority.host),
    port: authority.port,
    path: mark < 0 ? path : path.slice(0, mark),
    query: mark < 0 ? '' : path.slice(mark + 1),
    headers: [],
    bodyBytes: null,
    body: null,
  };
  const subject = `${network.method} ${network.url}`;
  const asked: Replayed = { ...common, hook: 'onRequest', facts: request, subject };
  if (network.status_code === 0 || common.refused !== null) return [asked];
  const status = network.status_code;
  const facts: ResponseFacts = { status, headers: [], body: null, bodyOmitted: null, request };
  return [asked, { ...common, hook: 'onResponse', facts, subject: `answer ${status} to ${subject}` }];
}

interface Recorded {
  readonly type: string;
  readonly timestamp: number;
  readonly sandbox: string | null;
  readonly network: {
    readonly method: string;
    readonly url: string;
    readonly host: string;
    readonly port: number;
    readonly status_code: number;
    readonly reason: string | null;
    readonly block_reason?: string;
  };
}

function eventOf(line: string): Recorded | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    // The last line of a log may be cut short.
    return null;
  }
  const { type, timestamp, network } = (value ?? {}) as Partial<Recorded>;
  const known = typeof type === 'string' && typeof timestamp === 'number' && typeof network === 'object';
  return known && network !== null && typeof network.url === 'string' ? (value as Recorded) : null;
}

/** Null: as it was. */
export function changeText({ subject, refused }: Replayed, answer: AnyAnswer): string | null {
  const passes = 'kind' in answer && (answer.kind === 'allow' || answer.kind === 'pass');
  if (passes) return refused === null ? null : `would let through ${subject} (was ${refused})`;
  if ('kind' in answer && answer.kind === 'deny') {
    return refused === null ? `would refuse ${subject} (${answerText(answer)})` : null;
  }
  return `would change ${subject}: ${answerText(answer)}`;
}

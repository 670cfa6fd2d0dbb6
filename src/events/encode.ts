/**
 * One event, one line: JSON (RFC 8259) in printable ASCII, ended by one line feed.
 *
 * Pure. Whatever a stranger put into a name, a path or a message, the line stays one line, parses back, and holds no
 * byte that a terminal, a log shipper or a reader of another encoding takes for more than text.
 */
import type { Event, ExecEvent, GatewayFact, NetworkEvent } from './event.js';

/** Longest string of an event, in UTF-16 code units; what is past it is counted in a marker. */
export const TEXT_LIMIT = 2_048;

/** Longest `url`, in UTF-16 code units. */
export const URL_LIMIT = 8_192;

/** Most entries of a list, and most code units in all of them. */
export const LIST_LIMIT = { entries: 256, units: 16_384 } as const;

/**
 * Everything but printable ASCII: C0 and C1 controls, DEL, line and paragraph separators, bidirectional and
 * zero-width characters, surrogates. Escaping all of it needs no list that a new version of Unicode outdates.
 */
const NOT_PRINTABLE = /[^\x20-\x7e]/;
const NOT_PRINTABLE_ALL = /[^\x20-\x7e]/g;

/** The line of `event`, line feed included. */
export function encodeEvent(event: Event): string {
  // After JSON.stringify such characters stand inside strings only, where \uXXXX means the same (RFC 8259 §7).
  return `${printable(JSON.stringify(boundEvent(event)))}\n`;
}

/** `text` with everything but printable ASCII written as \uXXXX: what a terminal may be shown. */
export function printable(text: string): string {
  return NOT_PRINTABLE.test(text) ? text.replace(NOT_PRINTABLE_ALL, escapeUnit) : text;
}

/** `text`, or its first `limit` code units and the marker `…[+N]` that counts the rest. */
export function cut(text: string, limit: number = TEXT_LIMIT): string {
  if (text.length <= limit) return text;
  // A pair of surrogates is kept or left out, never parted.
  const kept = (text.charCodeAt(limit - 1) & 0xfc00) === 0xd800 ? limit - 1 : limit;
  return `${text.slice(0, kept)}…[+${text.length - kept}]`;
}

/** The event with every string and list cut to its limit. */
export function boundEvent(event: Event): Event {
  return mapText(event, cut, cutList);
}

type TextStep = (text: string, limit?: number) => string;
type ListStep = (list: readonly string[]) => readonly string[];

/** `event` with `step` over every string that somebody else may have had a hand in. */
export function mapText(
  event: Event,
  step: TextStep,
  listStep: ListStep = list => list.map(item => step(item)),
): Event {
  const { network, exec, gateway, sandbox } = event;
  return {
    ...event,
    sandbox: orNull(sandbox, step),
    ...(network && { network: mapNetwork(network, step, listStep) }),
    ...(exec && { exec: mapExec(exec, listStep) }),
    ...(gateway && { gateway: mapFact(gateway, step, listStep) }),
  };
}

function mapNetwork(network: NetworkEvent, step: TextStep, listStep: ListStep): NetworkEvent {
  const { block_reason } = network;
  return {
    ...network,
    flow: orNull(network.flow, step),
    request: orNull(network.request, step),
    method: step(network.method),
    url: step(network.url, URL_LIMIT),
    host: step(network.host),
    ...(block_reason !== undefined && { block_reason: step(block_reason) }),
    reason: orNull(network.reason, step),
    rule: orNull(network.rule, step),
    destination: orNull(network.destination, step),
    protocol: step(network.protocol),
    secrets: network.secrets.length === 0 ? network.secrets : listStep(network.secrets),
  };
}

function mapExec(exec: ExecEvent, listStep: ListStep): ExecEvent {
  return { ...exec, command: listStep(exec.command) };
}

function mapFact(fact: GatewayFact, step: TextStep, listStep: ListStep): GatewayFact {
  return { message: step(fact.message), detail: listStep(fact.detail) };
}

function orNull(text: string | null, step: TextStep): string | null {
  return text === null ? null : step(text);
}

function cutList(list: readonly string[]): readonly string[] {
  const kept: string[] = [];
  let units = 0;
  for (const item of list) {
    const text = cut(item);
    units += text.length;
    if (kept.length === LIST_LIMIT.entries || units > LIST_LIMIT.units) {
      kept.push(`…[+${list.length - kept.length}]`);
      break;
    }
    kept.push(text);
  }
  return kept;
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

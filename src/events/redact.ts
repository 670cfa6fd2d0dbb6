/**
 * An event without the values of secrets: `redact` over every string that somebody else may have had a hand in.
 *
 * Pure. An event in which nothing was found, which is nearly every one, is given back as it is.
 */
import type { BodyEvent, EventBody, ExecEvent, FileEvent, GatewayFact, NetworkEvent } from './event.js';

export type RedactText = (text: string) => string;

/** Stands for a text whose redaction failed: nobody can be told why without printing it. */
const WITHHELD = '[withheld]';

export function redactEvent<T extends EventBody>(event: T, redact: RedactText): T {
  const clean: RedactText = text => {
    try {
      return redact(text);
    } catch {
      // The text may hold a value, and the reason may quote the text.
      return WITHHELD;
    }
  };
  const { network, exec, file, body, gateway } = event;
  const rest = exec ?? file ?? body ?? gateway;
  if (network !== undefined && rest === undefined && isClean(event, network, redact)) return event;
  const update: Partial<EventBody> = {
    sandbox: orNull(event.sandbox, clean),
    ...(network && { network: redactNetwork(network, clean) }),
    ...(exec && { exec: redactExec(exec, clean) }),
    ...(file && { file: redactFile(file, clean) }),
    ...(body && { body: redactBody(body, clean) }),
    ...(gateway && { gateway: redactFact(gateway, clean) }),
  };
  return changed(event, update as Partial<T>);
}

/**
 * One look at all strings together, apart by NULs: what stands in one of them stands in the whole, so a whole that is
 * clean clears them all. Only of one that is not is each looked at by itself. Put together by what is there: this runs
 * for every request, and each piece costs.
 */
function isClean({ sandbox }: EventBody, network: NetworkEvent, redact: RedactText): boolean {
  const { flow, request, method, url, host, reason, rule, destination, protocol, secrets } = network;
  const { block_reason, would_deny, location, traceparent, annotations } = network;
  let text = `${url}\0${flow}\0${request}\0${method}\0${protocol}\0${sandbox}\0${rule}`;
  if (!url.includes(host)) text += `\0${host}`;
  if (destination !== null) text += `\0${destination}`;
  if (reason !== null) text += `\0${reason}`;
  for (const secret of secrets) text += `\0${secret}`;
  if (block_reason !== undefined) text += `\0${block_reason}`;
  if (would_deny !== undefined) text += `\0${would_deny}`;
  if (location !== undefined) text += `\0${location}`;
  if (traceparent !== undefined) text += `\0${traceparent}`;
  if (annotations !== undefined) text += `\0${annotations.join('\0')}`;
  try {
    return redact(text) === text;
  } catch {
    // Each string is tried, and withheld, by itself.
    return false;
  }
}

function redactNetwork(network: NetworkEvent, clean: RedactText): NetworkEvent {
  const { block_reason, would_deny, location, traceparent } = network;
  return changed(network, {
    flow: orNull(network.flow, clean),
    request: orNull(network.request, clean),
    method: clean(network.method),
    url: clean(network.url),
    host: clean(network.host),
    ...(block_reason !== undefined && { block_reason: clean(block_reason) }),
    reason: orNull(network.reason, clean),
    rule: orNull(network.rule, clean),
    destination: orNull(network.destination, clean),
    protocol: clean(network.protocol),
    secrets: redactList(network.secrets, clean),
    ...(would_deny !== undefined && { would_deny: clean(would_deny) }),
    ...(location !== undefined && { location: clean(location) }),
    ...(traceparent !== undefined && { traceparent: clean(traceparent) }),
    ...(network.annotations && { annotations: redactList(network.annotations, clean) }),
  });
}

function redactExec(exec: ExecEvent, clean: RedactText): ExecEvent {
  return changed(exec, { command: redactList(exec.command, clean) });
}

function redactFile(file: FileEvent, clean: RedactText): FileEvent {
  return changed(file, { path: clean(file.path) });
}

/** Text only: what stands in base64 was searched before it was coded. */
function redactBody(body: BodyEvent, clean: RedactText): BodyEvent {
  return changed(body, { mime_type: clean(body.mime_type), text: clean(body.text) });
}

function redactFact(fact: GatewayFact, clean: RedactText): GatewayFact {
  return changed(fact, { message: clean(fact.message), detail: redactList(fact.detail, clean) });
}

function redactList(list: readonly string[], clean: RedactText): readonly string[] {
  if (list.length === 0) return list;
  const cleaned = list.map(clean);
  return cleaned.every((text, index) => text === list[index]) ? list : cleaned;
}

function orNull(text: string | null, clean: RedactText): string | null {
  return text === null ? null : clean(text);
}

/** `record` with the fields of `update`; `record` itself if none differs. */
function changed<T extends object>(record: T, update: Partial<T>): T {
  for (const key in update) if (update[key] !== record[key]) return { ...record, ...update };
  return record;
}

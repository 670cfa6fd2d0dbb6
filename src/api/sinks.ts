/** Sinks for a program that embeds a gateway: from a file, or from what such a file holds. */
import { systemClock } from '../core/clock.js';
import type { GatewayError } from '../core/errors.js';
import type { EventFilter } from '../events/filter.js';
import { configInvalid } from '../policy/problem.js';
import { loadTrust } from '../proxy/upstream/trust.js';
import type { Variables } from '../sinks/credentials.js';
import type { Opened } from '../sinks/open.js';
import { version } from './version.js';

export interface EventSinksOptions {
  /** Where `{ env: … }` looks. Default: the process's environment. */
  readonly env?: Variables;
  /** Told of a sink's troubles; the sinks go on. */
  readonly onTrouble?: (error: GatewayError) => void;
}

/**
 * Opens the sinks that a file names, or that stand in an object of the same form. `sinks` go to `createGateway`, and
 * `metrics`, where there are some, as its `meter`; whoever makes no gateway of them closes them.
 *
 * Throws `CONFIG_INVALID` with every problem, or `EVENTS_FAILED`.
 */
export async function openEventSinks(
  from: string | object,
  options: EventSinksOptions = {},
): Promise<Opened> {
  const { openSinks } = await import('../sinks/open.js');
  const source = typeof from === 'string' ? from : 'sinks';
  return await openSinks(await documentOf(from), {
    source,
    contextFor: async caFiles => (await loadTrust(caFiles)).context,
    version: version(),
    clock: systemClock,
    ...options,
  });
}

async function documentOf(from: string | object) {
  if (typeof from === 'string') return await (await import('../sinks/load.js')).loadSinks(from);
  const { sinksFrom } = await import('../sinks/document.js');
  const parsed = sinksFrom(from);
  if (!parsed.ok) throw configInvalid('sinks', parsed.error);
  return parsed.value;
}

/** A filter for `gateway.events({ filter })`. Throws `CONFIG_INVALID` with the column. */
export async function eventFilter(expression: string): Promise<EventFilter> {
  const { compileFilter } = await import('../events/filter.js');
  const compiled = compileFilter(expression);
  if (compiled.ok) return compiled.value;
  const { column, message } = compiled.error;
  throw configInvalid('filter', [{ path: `column ${column}`, message }]);
}

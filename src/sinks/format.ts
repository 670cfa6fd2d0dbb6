/** The forms in which a sink may tell an event. Pure. */
import { encodeEvent } from '../events/encode.js';
import type { Event } from '../events/event.js';
import { encodeOcsf } from '../events/ocsf.js';

export type Format = 'json' | 'ocsf';

export interface FormatFacts {
  readonly version: string;
}

/** The line of an event, line feed included. */
export function encoderOf(format: Format | undefined, { version }: FormatFacts): (event: Event) => string {
  if (format !== 'ocsf') return encodeEvent;
  return event => encodeOcsf(event, { id: event.id, version });
}

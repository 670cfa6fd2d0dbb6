/** `sallyport events schema`: what a reader of the event log can rely on, for its own tools. */
import { eventJsonSchema } from '../events/schema.js';
import type { Io } from './io.js';

/** Prints the JSON Schema (draft 2020-12) of one event. */
export function runEventsSchema(io: Io): number {
  io.stdout(`${JSON.stringify(eventJsonSchema(), null, 2)}\n`);
  return 0;
}

/** Sinks that are files: with rotation, and standard output. Pure of I/O itself: the file sink is the shell. */
import type { Event } from '../events/event.js';
import type { Sink } from '../events/feeder.js';
import { type FileSinkOptions, openFileSink } from '../events/file-sink.js';
import type { EventFilter } from '../events/filter.js';
import type { RotateRule } from '../events/rotate.js';
import { filterOf, ms } from './document.js';
import { encoderOf } from './format.js';
import type { Surroundings } from './open.js';
import type { SinkOf } from './schema.js';
import { parseSize } from './values.js';

const KEPT = 10;

export async function openFile(sink: SinkOf<'file'>, around: Surroundings): Promise<Sink> {
  const rotate = sink.rotate === undefined ? {} : { rotate: rotateRule(sink.rotate) };
  return await openLines(sink, around, { path: sink.path, ...rotate });
}

export async function openStdout(sink: SinkOf<'stdout'>, around: Surroundings): Promise<Sink> {
  return await openLines(sink, around, { path: '-' });
}

async function openLines(
  sink: SinkOf<'file'> | SinkOf<'stdout'>,
  around: Surroundings,
  where: Pick<FileSinkOptions, 'path' | 'rotate'>,
): Promise<Sink> {
  const { name, clock, onTrouble } = around;
  const file = await openFileSink({
    ...where,
    name,
    clock,
    onTrouble,
    whenFull: sink.back_pressure ?? 'block',
    encode: encoderOf(sink.format, around),
  });
  const filter = filterOf(sink);
  return filter === null ? file : filtered(file, filter);
}

function rotateRule({ size, age, keep }: NonNullable<SinkOf<'file'>['rotate']>): RotateRule {
  const bytes = size === undefined ? null : parseSize(size);
  return {
    bytes: bytes?.ok ? bytes.value : null,
    ageMs: age === undefined ? null : ms(age, 0),
    keep: keep ?? KEPT,
  };
}

/** `sink`, of which only some events are known. */
export function filtered(sink: Sink, filter: EventFilter): Sink {
  return {
    name: sink.name,
    whenFull: sink.whenFull,
    get failing() {
      return sink.failing === true;
    },
    write: (events: readonly Event[]) => {
      const wanted = events.filter(filter);
      return wanted.length === 0 ? undefined : sink.write(wanted);
    },
    close: async signal => await sink.close?.(signal),
  };
}

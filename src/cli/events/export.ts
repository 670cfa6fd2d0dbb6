/** `sallyport events export LOG --har | --ocsf | --csv`: a log in a form that other programs read. */

import { GatewayError } from '../../core/errors.js';
import type { Event } from '../../events/event.js';
import { encodeOcsf } from '../../events/ocsf.js';
import { CSV_HEADER, csvRow } from '../../events/report/csv.js';
import { HarWriter, harFrame } from '../../events/report/har.js';
import { EXIT_USAGE, type Io } from '../io.js';
import { readLog } from './log.js';
import { type Paper, paperFor } from './paper.js';

export interface ExportFlags {
  readonly har: boolean;
  readonly ocsf: boolean;
  readonly csv: boolean;
  readonly output?: string;
}

/** Exit code 0; 2: bad usage, or something cannot be read or written; 3: some lines hold no event; 130: interrupted. */
export async function runExport(path: string, flags: ExportFlags, version: string, io: Io): Promise<number> {
  const { har, ocsf, csv } = flags;
  if ([har, ocsf, csv].filter(Boolean).length !== 1) {
    io.stderr('sallyport: name one form: --har, --ocsf or --csv\n');
    return EXIT_USAGE;
  }
  const form = har ? harForm(version) : ocsf ? ocsfForm(version) : CSV;
  try {
    const paper = await paperFor(flags.output);
    const code = await written(path, form, paper, io);
    await paper.close();
    return code;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    io.stderr(`sallyport: ${error.message}\n`);
    return EXIT_USAGE;
  }
}

interface Form {
  readonly head: string;
  /** The text of an event; empty where it has none in this form. */
  readonly text: (event: Event) => string;
  readonly tail: string;
}

async function written(path: string, form: Form, paper: Paper, io: Io): Promise<number> {
  // Nothing is begun of a log that cannot be opened.
  let begun = false;
  const begin = (): string => {
    const head = begun ? '' : form.head;
    begun = true;
    return head;
  };
  const code = await readLog(path, {}, io, events => paper.write(begin() + events.map(form.text).join('')));
  if (code !== EXIT_USAGE) await paper.write(begin() + form.tail);
  return code;
}

function harForm(version: string): Form {
  const { head, between, tail } = harFrame({ version });
  const writer = new HarWriter();
  let first = true;
  const text = (event: Event): string => {
    const entry = writer.entry(event);
    if (entry === null) return '';
    const separator = first ? '' : between;
    first = false;
    return separator + JSON.stringify(entry);
  };
  return { head, text, tail };
}

function ocsfForm(version: string): Form {
  return { head: '', text: event => encodeOcsf(event, { id: event.id, version }), tail: '' };
}

const CSV: Form = { head: CSV_HEADER, text: csvRow, tail: '' };

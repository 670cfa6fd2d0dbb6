/**
 * Checks a spool's lines one after the other: the chain, the numbers, the signatures.
 *
 * Pure. After a fault the walk goes on from the line as it is, so that one change is one fault, and the next is found
 * too.
 */
import { parseEvent } from '../parse.js';
import {
  type Checkpoint,
  type Head,
  hashOf,
  type Manifest,
  parseSpoolLine,
  type RecordLine,
  type SegmentName,
  SPOOL_FORMAT,
  segmentFile,
  signatureOf,
} from './format.js';

export interface SpoolFault {
  readonly file: string;
  /** From 1; 0: the file as a whole. */
  readonly line: number;
  readonly what: string;
}

export interface WalkResult {
  readonly faults: readonly SpoolFault[];
  readonly notes: readonly string[];
  readonly records: number;
  /** Number of the last record, and the hash of the last line. */
  readonly n: number;
  readonly hash: string;
  /** Number of the last record that a signature stands behind. */
  readonly signed: number;
  readonly closed: boolean;
}

/** Faults told one by one; the rest is counted. */
const MOST_FAULTS = 100;

export class Walk {
  readonly #manifest: Manifest;
  readonly #isSigned: (text: string, signature: string) => boolean;
  readonly #faults: SpoolFault[] = [];
  readonly #notes: string[] = [];
  #faultCount = 0;
  #segment: SegmentName | null = null;
  #line = 0;
  #n: number;
  #hash: string;
  #records = 0;
  #signed: number;
  #closed = true;
  #gatewayId = '';
  #seq = 0;
  /** Lines that are to be met: hash of the line, and what its absence means. */
  readonly #wanted = new Map<string, string>();

  constructor(manifest: Manifest, isSigned: (text: string, signature: string) => boolean) {
    this.#manifest = manifest;
    this.#isSigned = isSigned;
    this.#n = manifest.first - 1;
    this.#signed = this.#n;
    this.#hash = manifest.prev;
  }

  /** A line that must be met on the way; `absent` is said of the spool if it is not. */
  expect(hash: string, absent: string): void {
    this.#wanted.set(hash, absent);
  }

  begin(name: SegmentName): void {
    const expected = this.#segment === null ? this.#manifest.segment : this.#segment.segment + 1;
    this.#segment = name;
    this.#line = 0;
    if (name.segment !== expected) {
      const missing =
        name.segment - 1 === expected ? `${expected} is` : `${expected} to ${name.segment - 1} are`;
      this.#fault(
        name.segment < expected
          ? 'the segment is there twice'
          : `segments before it are missing: ${missing} gone`,
      );
    }
  }

  line(text: string): void {
    this.#line += 1;
    const line = parseSpoolLine(text);
    const hash = hashOf(text);
    this.#wanted.delete(hash);
    if (line === null) this.#fault('no line of a spool');
    else {
      if (line.prev !== this.#hash)
        this.#fault('it does not follow the line before it: something was changed, cut out or put in');
      if (line.kind === 'record') this.#record(line);
      else if (this.#line === 1 && line.kind !== 'head') this.#fault('the segment has no head');
      if (line.kind === 'head') this.#head(line, text);
      if (line.kind === 'checkpoint') this.#checkpoint(line, text);
    }
    this.#hash = hash;
  }

  /** What stands behind the last line feed. */
  rest(bytes: number, last: boolean): void {
    if (bytes === 0) return;
    if (last)
      this.#notes.push(`${bytes} bytes at the end are no whole line: being written, or cut short by a crash`);
    else {
      this.#line += 1;
      this.#fault('its last line is not whole');
    }
  }

  end(): WalkResult {
    for (const absent of this.#wanted.values())
      this.#tell({ file: this.#segment?.file ?? '', line: 0, what: absent });
    if (this.#faultCount > this.#faults.length)
      this.#notes.push(`${this.#faultCount - this.#faults.length} more faults`);
    if (!this.#closed && this.#n > this.#signed) {
      const count = this.#n - this.#signed;
      this.#notes.push(`the last ${count} records hang together, but no signature stands behind them`);
    }
    return {
      faults: this.#faults,
      notes: this.#notes,
      records: this.#records,
      n: this.#n,
      hash: this.#hash,
      signed: this.#signed,
      closed: this.#closed,
    };
  }

  #record({ n, event }: RecordLine): void {
    this.#records += 1;
    this.#closed = false;
    if (n !== this.#n + 1) this.#fault(`record ${n} stands where ${this.#n + 1} should`);
    this.#n = n;
    const parsed = parseEvent(event);
    if (!parsed.ok) return void this.#fault(`record ${n} holds no event: ${parsed.error}`);
    const { gateway_id, seq } = parsed.value;
    if (gateway_id === this.#gatewayId && seq <= this.#seq)
      this.#fault(`event ${gateway_id}-${seq} is not behind ${this.#seq}`);
    if (gateway_id !== this.#gatewayId) this.#fault(`record ${n} is of another gateway than its segment`);
    this.#seq = seq;
  }

  #head(head: Head, text: string): void {
    if (this.#line !== 1) return void this.#fault('a head in the middle of the segment');
    if (segmentFile(head) !== this.#segment?.file)
      this.#fault('the head is of another segment than the name of the file says');
    if (head.format !== SPOOL_FORMAT) this.#fault(`of format ${head.format}`);
    if (head.first !== this.#n + 1)
      this.#fault(`it begins with record ${head.first}, and ${this.#n + 1} was next`);
    this.#signature(head.spool, text, head.first - 1);
    if (head.gatewayId !== this.#gatewayId) this.#seq = 0;
    this.#gatewayId = head.gatewayId;
  }

  #checkpoint(checkpoint: Checkpoint, text: string): void {
    const { n, closed } = checkpoint;
    if (n !== this.#n) this.#fault(`the checkpoint is of record ${n}, and ${this.#n} is the last`);
    this.#signature(checkpoint.spool, text, n);
    this.#closed = closed;
  }

  #signature(spool: string, text: string, upTo: number): void {
    const found = signatureOf(text);
    if (spool !== this.#manifest.spool) this.#fault('it is of another spool');
    if (found === null || !this.#isSigned(found.text, found.signature))
      this.#fault('the signature is not that of the key');
    else this.#signed = upTo;
  }

  #fault(what: string): void {
    this.#tell({ file: this.#segment?.file ?? '', line: this.#line, what });
  }

  #tell(fault: SpoolFault): void {
    this.#faultCount += 1;
    if (this.#faults.length < MOST_FAULTS) this.#faults.push(fault);
  }
}

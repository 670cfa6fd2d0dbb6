/**
 * The segment that is being written: its file, and the chain through it.
 *
 * A shell. A line is put into the chain when its bytes are made; if they never reach the file, the spool is broken and
 * takes nothing more.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { AsciiWriter } from '../ascii.js';
import type { Event } from '../event.js';
import { syncFolder } from './folder.js';
import {
  emitCheckpoint,
  emitHead,
  hashOf,
  hashOfBytes,
  type SegmentName,
  type Sign,
  SPOOL_FORMAT,
  segmentFile,
  writeRecord,
} from './format.js';

const LINE_FEED = 0x0a;

/** Where the chain stands. */
export interface Link {
  readonly segment: number;
  readonly n: number;
  readonly hash: string;
}

export interface SegmentOptions {
  readonly dir: string;
  readonly spool: string;
  readonly sign: Sign;
  readonly timestamp: number;
}

export class Segment {
  readonly name: SegmentName;
  readonly openedAt: number;
  readonly #spool: string;
  readonly #sign: Sign;
  readonly #handle: FileHandle;
  readonly #lines = new AsciiWriter();
  bytes = 0;
  /** Number of the last record. */
  n: number;
  /** Hash of the last line. */
  hash: string;

  private constructor(handle: FileHandle, name: SegmentName, prev: string, options: SegmentOptions) {
    this.#handle = handle;
    this.name = name;
    this.n = name.first - 1;
    this.hash = prev;
    this.openedAt = options.timestamp;
    this.#spool = options.spool;
    this.#sign = options.sign;
  }

  /** Makes the segment behind `last`; its first bytes are the head, which the caller writes. */
  static async begin(last: Link, first: Event, options: SegmentOptions): Promise<Segment> {
    const { gateway_id: gatewayId, seq } = first;
    const place = { segment: last.segment + 1, first: last.n + 1, gatewayId, seq };
    const name = { ...place, file: segmentFile(place) };
    const { O_WRONLY, O_CREAT, O_EXCL, O_APPEND, O_NOFOLLOW } = constants;
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW;
    const handle = await open(join(options.dir, name.file), flags, 0o600);
    await syncFolder(options.dir);
    return new Segment(handle, name, last.hash, options);
  }

  head(): Uint8Array {
    const { segment, first, gatewayId, seq } = this.name;
    const head = { segment, format: SPOOL_FORMAT, spool: this.#spool, first, gatewayId, seq };
    return this.#line(emitHead({ ...head, timestamp: this.openedAt, prev: this.hash }, this.#sign));
  }

  /** The bytes are the segment's own: they stand until the next call. */
  records(events: readonly Event[]): Uint8Array {
    const lines = this.#lines;
    lines.reset();
    for (const event of events) {
      const start = lines.at;
      writeRecord(lines, this.n + 1, this.hash, event);
      this.n += 1;
      this.hash = hashOfBytes(lines.view(start));
      lines.byte(LINE_FEED);
    }
    return lines.view();
  }

  /** The bytes, and the line as the anchor keeps it. */
  checkpoint(timestamp: number, closed: boolean): { readonly bytes: Uint8Array; readonly line: string } {
    const { n, hash: prev } = this;
    const line = emitCheckpoint({ n, spool: this.#spool, timestamp, closed, prev }, this.#sign);
    return { bytes: this.#line(line), line };
  }

  readonly write = async (bytes: Uint8Array, offset: number): Promise<number> => {
    const { bytesWritten } = await this.#handle.write(bytes, offset);
    this.bytes += bytesWritten;
    return bytesWritten;
  };

  sync(): Promise<void> {
    return this.#handle.datasync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  #line(line: string): Uint8Array {
    this.hash = hashOf(line);
    return Buffer.from(`${line}\n`, 'latin1');
  }
}

/**
 * Whether a spool is what its gateway wrote: every cut, edit and reorder, and where.
 *
 * A shell: reads the files. What can be known of the tail: all up to the last signature by the spool itself; that
 * nothing was taken off behind it, by the anchor beside the key, or by a head that somebody noted (`expect`).
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { LineCutter } from '../lines.js';
import { listSegments, readManifest } from './folder.js';
import { hashOf, type SegmentName, signatureOf } from './format.js';
import { findPublicKey, isSigned, readAnchor } from './keys.js';
import { Walk, type WalkResult } from './walk.js';

export interface VerifyOptions {
  /** Where the key and the anchors are, if this is the machine that wrote it. */
  readonly keyDir: string;
  /** The public key (raw, base64url) that the spool must be signed with; absent: that of `keyDir`. */
  readonly key?: string;
  /** A hash that an earlier `verify` gave: the line must still be there. */
  readonly expect?: string;
}

export interface Verification extends WalkResult {
  readonly spool: string;
  readonly key: string;
  readonly segments: number;
  /** Number of the oldest record that is kept. */
  readonly first: number;
}

/** Throws `GatewayError` SPOOL_INVALID for a folder that is no spool, or of a newer format. */
export async function verifySpool(dir: string, options: VerifyOptions): Promise<Verification> {
  const { text, manifest } = await readManifest(dir);
  const own = options.key ?? findPublicKey(options.keyDir);
  const key = own ?? manifest.key;
  const walk = new Walk(manifest, (signedText, signature) => isSigned(signedText, signature, key));
  const anchor = readAnchor(options.keyDir, manifest.spool);
  if (anchor !== null)
    walk.expect(hashOf(anchor), 'the tail was cut off: this machine has signed what is not there any more');
  if (options.expect !== undefined)
    walk.expect(options.expect, `the line with the hash ${options.expect} is not there any more`);
  const segments = (await listSegments(dir)).filter(({ segment }) => segment >= manifest.segment);
  for (const segment of segments) await walkSegment(dir, segment, segment === segments.at(-1), walk);
  const result = walk.end();
  const faults = [...result.faults];
  const seal = signatureOf(text);
  if (seal === null || !isSigned(seal.text, seal.signature, key))
    faults.unshift({ file: 'spool.json', line: 1, what: 'the signature is not that of the key' });
  if (segments.length === 0 && manifest.segment > 1)
    faults.push({ file: '', line: 0, what: 'all segments are gone' });
  const notes = own === null ? [UNKNOWN_KEY, ...result.notes] : result.notes;
  return {
    ...result,
    faults,
    notes,
    spool: manifest.spool,
    key,
    segments: segments.length,
    first: manifest.first,
  };
}

const UNKNOWN_KEY =
  'judged by the key that the spool brings along: give the one that you trust with --key, or whoever made the spool anew is believed';

async function walkSegment(dir: string, segment: SegmentName, last: boolean, walk: Walk): Promise<void> {
  const path = join(dir, segment.file);
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    walk.begin(segment);
    const lines = new LineCutter(path, 0);
    for (let batch = await lines.next(handle); batch !== null; batch = await lines.next(handle)) {
      for (const line of batch.lines) walk.line(line);
    }
    walk.rest(lines.restBytes, last);
  } finally {
    await handle.close();
  }
}

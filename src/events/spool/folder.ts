/**
 * The spool's folder: made and kept for its owner alone, its manifest, its segments.
 *
 * A shell. Whatever is not ours is refused before anything is written: another user's folder, a folder that holds
 * something else, a spool of a newer format, one that another key signed.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, lstat, mkdir, open, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, GatewayError } from '../../core/errors.js';
import {
  emitManifest,
  type Manifest,
  NO_HASH,
  parseManifest,
  parseSegmentFile,
  type SegmentName,
  SPOOL_FORMAT,
} from './format.js';
import type { SpoolKey } from './keys.js';

const MANIFEST_FILE = 'spool.json';

/** What may stand in a folder before it is a spool. */
const OWN: ReadonlySet<string> = new Set(['lock', 'cursors', 'spool.json.new']);

/** Makes `dir`, 0700, or takes one that is ours and holds nothing else. Throws `SPOOL_INVALID`. */
export async function prepareFolder(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const stats = await lstat(dir);
    if (!stats.isDirectory()) refuse(dir, 'it is not a folder');
    if (stats.uid !== process.geteuid?.()) refuse(dir, 'it belongs to another user; name one that is yours');
    const names = await readdir(dir);
    const foreign = names.includes(MANIFEST_FILE) ? undefined : names.find(name => !OWN.has(name));
    if (foreign !== undefined)
      refuse(dir, `it holds other things (${JSON.stringify(foreign)}); name an empty one`);
    if ((stats.mode & 0o077) !== 0) await chmod(dir, 0o700);
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    refuse(dir, errorCode(error), error);
  }
}

/** The manifest of the spool in `dir`. Throws `SPOOL_INVALID`: none, of a newer format, not readable. */
export async function readManifest(
  dir: string,
): Promise<{ readonly text: string; readonly manifest: Manifest }> {
  const text = await readFile(join(dir, MANIFEST_FILE), 'utf8').catch((error: unknown) => {
    return errorCode(error) === 'ENOENT'
      ? refuse(dir, `it is no spool (it has no ${MANIFEST_FILE})`)
      : refuse(dir, errorCode(error), error);
  });
  const manifest = parseManifest(text);
  if (manifest === null) return refuse(dir, `${MANIFEST_FILE} is not one that sallyport wrote`);
  if (typeof manifest !== 'number') return { text: text.trimEnd(), manifest };
  const newer = `it is of format ${manifest}, this sallyport knows ${SPOOL_FORMAT}: update it`;
  return refuse(dir, newer);
}

/** The manifest, begun anew in an empty folder. Throws `SPOOL_INVALID`. */
export async function claimFolder(dir: string, key: SpoolKey, created: number): Promise<Manifest> {
  const names = await readdir(dir);
  if (!names.includes(MANIFEST_FILE)) {
    const spool = randomBytes(8).toString('hex');
    const begun = { format: SPOOL_FORMAT, spool, key: key.publicKey, created: Math.floor(created) };
    const manifest = { ...begun, segment: 1, first: 1, prev: NO_HASH };
    await writeManifest(dir, manifest, key);
    return manifest;
  }
  const { manifest } = await readManifest(dir);
  if (manifest.key === key.publicKey) return manifest;
  return refuse(
    dir,
    'another key began it; give this gateway a folder of its own, or its old state folder back',
  );
}

/** Replaces the manifest, whole or not at all. */
export async function writeManifest(dir: string, manifest: Manifest, key: SpoolKey): Promise<void> {
  const draft = join(dir, `${MANIFEST_FILE}.new`);
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
  const handle = await open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
  try {
    await handle.writeFile(`${emitManifest(manifest, key.sign)}\n`);
    await handle.datasync();
  } finally {
    await handle.close();
  }
  await rename(draft, join(dir, MANIFEST_FILE));
  await syncFolder(dir);
}

/** Makes it last that a file was made, renamed or removed. */
export async function syncFolder(dir: string): Promise<void> {
  const handle = await open(dir, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The segments in `dir`, in their order. */
export async function listSegments(dir: string): Promise<readonly SegmentName[]> {
  const names = await readdir(dir).catch((error: unknown) => refuse(dir, errorCode(error), error));
  return names
    .map(parseSegmentFile)
    .filter(segment => segment !== null)
    .sort((a, b) => a.segment - b.segment);
}

function refuse(dir: string, why: string, cause?: unknown): never {
  throw new GatewayError('SPOOL_INVALID', `spool ${dir}: ${why}`, { cause });
}

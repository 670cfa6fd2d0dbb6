/**
 * The path that a member of a layer means: parts from the image's root (OCI image-spec, "Filesystem Layer").
 *
 * Pure. A name that leaves the root, or that readers disagree about, is refused; none is shortened into one that fits.
 */
import { err, ok, type Result } from '../../core/result.js';

/** Byte strings, none of them empty, `.` or `..`. The image's root is the empty list. */
export type MemberPath = readonly string[];

export type PathFault =
  | 'absolute' // some put it below the root of the image, some below that of the machine
  | 'escapes' // a part is `..`
  | 'too-long'; // a part of more than 255 bytes, or too many parts

const MAX_PART = 255;
const MAX_PARTS = 256;

export function parseMemberPath(name: string): Result<MemberPath, PathFault> {
  if (name.startsWith('/')) return err('absolute');
  const parts = name.split('/').filter(part => part !== '' && part !== '.');
  if (parts.includes('..')) return err('escapes');
  if (parts.length > MAX_PARTS || parts.some(part => part.length > MAX_PART)) return err('too-long');
  return ok(parts);
}

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
/** What else AUFS kept for itself. */
const RESERVED = '.wh..wh.';

export type Marker =
  | { readonly kind: 'none' }
  /** The name, in the same folder, that the layers below no longer have. */
  | { readonly kind: 'whiteout'; readonly name: string }
  /** The folder shows nothing of the layers below. */
  | { readonly kind: 'opaque' }
  /** Notes of a file system that made the layer: no file. */
  | { readonly kind: 'reserved' };

/** What the last part of a path says of the layers below; null for a marker that names no file. */
export function markerOf(part: string): Marker | null {
  if (!part.startsWith(WHITEOUT)) return { kind: 'none' };
  if (part === OPAQUE) return { kind: 'opaque' };
  if (part.startsWith(RESERVED)) return { kind: 'reserved' };
  const name = part.slice(WHITEOUT.length);
  return name === '' || name === '.' || name === '..' ? null : { kind: 'whiteout', name };
}

/** A path for a person: the bytes that are no printable ASCII written as escapes. */
export function shownPath(path: MemberPath | string): string {
  const text = typeof path === 'string' ? path : path.join('/');
  const shown = text.replace(/[^\x20-\x7e]|\\/g, byte =>
    byte === '\\' ? '\\\\' : `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return shown.length > 200 ? `${shown.slice(0, 200)}…` : shown;
}

/**
 * One member of a tar archive, as every format of it says it (POSIX.1-2017 pax, "ustar Interchange Format").
 *
 * Names are byte strings: one character for each byte. An archive's names are bytes of no known encoding, and a reader
 * that decodes them gives two files one name.
 */
export type TarType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo';

export interface TarEntry {
  /** As the archive has it: relative or absolute, with or without `./`. */
  readonly name: string;
  readonly type: TarType;
  /** The twelve bits of permission, set-user-ID, set-group-ID and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Whole seconds since the epoch. */
  readonly mtime: number;
  /** Bytes of content that follow; 0 for all but files. */
  readonly size: number;
  /** The target of a symbolic or hard link, else empty. */
  readonly link: string;
  readonly device: { readonly major: number; readonly minor: number };
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

/** Why an archive is not one that we read. */
export type TarFault =
  | 'truncated' // it ends inside a member, or without the two blocks that end an archive
  | 'bad-checksum'
  | 'bad-magic' // not ustar, and not GNU tar's form of it
  | 'bad-number'
  | 'bad-name' // empty, or with a NUL in it
  | 'bad-type' // sparse, multi-volume, contiguous, unknown
  | 'unexpected-content' // a directory, a link or a device with bytes of its own
  | 'bad-pax' // records that do not add up, a key twice, a key that we would have to obey and do not know
  | 'too-long' // a pax header or a long name beyond its bound
  | 'stray-header' // an extended header that no member follows, or two that say the same thing
  | 'trailing-data'; // bytes after the end

export const BLOCK = 512;

/** Text of bytes, one character for each. */
export function byteText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

export function textBytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

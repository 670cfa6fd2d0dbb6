/** Archives for tests: by the writer, or byte by byte where the writer would refuse. */
import { emitEnd, emitEntry, emitPadding } from '../../src/vm/images/tar/emit.js';
import type { TarEntry } from '../../src/vm/images/tar/entry.js';
import { checksumOf } from '../../src/vm/images/tar/header.js';

export type Spec = Partial<Omit<TarEntry, 'size'>> & {
  readonly name: string;
  readonly content?: string | Uint8Array;
};

/** A member with what `spec` leaves out filled in: a file, 0644, root's. */
export function entry({ content = '', ...spec }: Spec): TarEntry {
  const type = spec.type ?? 'file';
  return {
    type,
    mode: type === 'directory' ? 0o755 : 0o644,
    uid: 0,
    gid: 0,
    mtime: 1_700_000_000,
    link: '',
    device: { major: 0, minor: 0 },
    xattrs: new Map(),
    ...spec,
    size: Buffer.byteLength(content as string),
  };
}

export function tar(...specs: readonly Spec[]): Buffer {
  return Buffer.concat([...specs.map(member), emitEnd()]);
}

/** One member: its headers, content and padding. */
export function member(spec: Spec): Buffer {
  const made = entry(spec);
  return Buffer.concat([emitEntry(made), Buffer.from(spec.content ?? ''), emitPadding(made.size)]);
}

/** A member whose header is changed after it was written, its checksum made right again. */
export function forged(spec: Spec, change: (header: Buffer) => void): Buffer {
  const bytes = member(spec);
  const header = bytes.subarray(0, 512);
  change(header);
  header.write(`${checksumOf(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}

/** An extended header of records as they are given. */
export function extended(flag: string, content: string): Buffer {
  return forged({ name: 'pax', content }, header => header.write(flag, 156, 'latin1'));
}

/**
 * The archive that a kernel unpacks as its first file system: cpio, "newc" (Linux, buffer-format.rst).
 *
 * Pure. Everything belongs to root, and the same members give the same bytes.
 */
export interface CpioMember {
  /** Without a leading slash; folders go before what is in them. */
  readonly path: string;
  readonly mode: number;
  /** Of a file, or the target of a symbolic link. */
  readonly content: Uint8Array;
}

export const FOLDER = 0o040755;
export const PROGRAM = 0o100755;
export const FILE = 0o100644;
export const LINK = 0o120777;

const END = 'TRAILER!!!';

/** The whole archive. Folders that no member names are made, in their order. */
export function emitCpio(members: readonly CpioMember[]): Buffer {
  const parts: Uint8Array[] = [];
  let inode = 0;
  for (const member of withFolders(members)) {
    inode += 1;
    parts.push(...entry(member, inode));
  }
  parts.push(...entry({ path: END, mode: 0, content: new Uint8Array(0) }, 0));
  return Buffer.concat(parts);
}

function withFolders(members: readonly CpioMember[]): readonly CpioMember[] {
  const known = new Set(members.filter(({ mode }) => mode === FOLDER).map(({ path }) => path));
  const all: CpioMember[] = [];
  for (const member of members) {
    const names = member.path.split('/').slice(0, -1);
    for (let count = 1; count <= names.length; count += 1) {
      const path = names.slice(0, count).join('/');
      if (known.has(path)) continue;
      known.add(path);
      all.push({ path, mode: FOLDER, content: new Uint8Array(0) });
    }
    all.push(member);
  }
  return all;
}

function entry({ path, mode, content }: CpioMember, inode: number): readonly Uint8Array[] {
  const name = Buffer.from(`${path}\0`);
  const links = mode === FOLDER ? 2 : 1;
  const fields = [inode, mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const header = `070701${fields.map(value => value.toString(16).padStart(8, '0')).join('')}`;
  const head = padded(Buffer.concat([Buffer.from(header), name]));
  return [head, content, Buffer.alloc(missing(content.length))];
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(missing(bytes.length))]);
}

/** To a multiple of four. */
function missing(length: number): number {
  return (4 - (length % 4)) % 4;
}

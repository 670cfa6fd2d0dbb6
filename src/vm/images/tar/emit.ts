/**
 * Writes tar archives: ustar where a member fits it, a pax extended header before it where not.
 *
 * Pure. The same entries give the same bytes, so that the same folder gives the same digest.
 */
import { BLOCK, type TarEntry, type TarType, textBytes } from './entry.js';
import { checksumOf } from './header.js';
import { padded } from './reader.js';

const FLAGS: Readonly<Record<TarType, string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

/** The header, or headers, of `entry`. Its content follows, then `emitPadding(entry.size)`. */
export function emitEntry(entry: TarEntry): Uint8Array {
  const records = recordsOf(entry);
  const own = emitBlock(entry, FLAGS[entry.type]);
  if (records.length === 0) return own;
  const content = Buffer.concat(records);
  const header = {
    ...entry,
    name: 'pax',
    link: '',
    size: content.length,
    mode: 0o644,
    mtime: 0,
    uid: 0,
    gid: 0,
  };
  return Buffer.concat([emitBlock(header, 'x'), content, emitPadding(content.length), own]);
}

export function emitPadding(size: number): Uint8Array {
  return new Uint8Array(padded(size) - size);
}

/** The two blocks that end an archive. */
export function emitEnd(): Uint8Array {
  return new Uint8Array(2 * BLOCK);
}

const MAX_ID = 0o7777777;
const MAX_SIZE = 0o77777777777;

function recordsOf(entry: TarEntry): readonly Uint8Array[] {
  const records: Uint8Array[] = [];
  if (entry.name.length > 100) records.push(emitRecord('path', textBytes(entry.name)));
  if (entry.link.length > 100) records.push(emitRecord('linkpath', textBytes(entry.link)));
  if (entry.size > MAX_SIZE) records.push(emitRecord('size', textBytes(`${entry.size}`)));
  if (entry.uid > MAX_ID) records.push(emitRecord('uid', textBytes(`${entry.uid}`)));
  if (entry.gid > MAX_ID) records.push(emitRecord('gid', textBytes(`${entry.gid}`)));
  if (entry.mtime < 0 || entry.mtime > MAX_SIZE)
    records.push(emitRecord('mtime', textBytes(`${entry.mtime}`)));
  for (const [name, value] of entry.xattrs) records.push(emitRecord(`SCHILY.xattr.${name}`, value));
  return records;
}

/** `LENGTH KEY=VALUE\n`, the length counting itself. */
function emitRecord(key: string, value: Uint8Array): Uint8Array {
  const rest = Buffer.concat([textBytes(` ${key}=`), value, textBytes('\n')]);
  let length = rest.length;
  while (`${length}`.length + rest.length !== length) length = `${length}`.length + rest.length;
  return Buffer.concat([textBytes(`${length}`), rest]);
}

function emitBlock(entry: TarEntry, flag: string): Uint8Array {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, digits: number): void => {
    block.write(value.toString(8).padStart(digits, '0'), at, 'latin1');
  };
  block.set(textBytes(entry.name).subarray(0, 100), 0);
  octal(entry.mode, 100, 7);
  octal(Math.min(entry.uid, MAX_ID), 108, 7);
  octal(Math.min(entry.gid, MAX_ID), 116, 7);
  octal(Math.min(entry.size, MAX_SIZE), 124, 11);
  octal(Math.min(Math.max(entry.mtime, 0), MAX_SIZE), 136, 11);
  block.write(flag, 156, 'latin1');
  block.set(textBytes(entry.link).subarray(0, 100), 157);
  block.write('ustar\x0000', 257, 'latin1');
  octal(entry.device.major, 329, 7);
  octal(entry.device.minor, 337, 7);
  block.write(`${checksumOf(block).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

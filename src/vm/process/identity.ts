/**
 * Who a command is, by name or number. A sandbox of processes has one user, ours; it may be called as the caller or the
 * image likes. Pure: the user database is asked through `read`.
 */

import { ErrInvalidConfig } from '../errors.js';
import type { Identity } from './bwrap.js';

export interface Person extends Identity {
  /** Null for a number that the user database does not know. */
  readonly home: string | null;
}

/** The text of a file of the sandbox, or null. */
type Read = (path: string) => string | null;

/** `name`, `uid`, `user:group`. Throws `VM_CONFIG_INVALID` for a name that the sandbox does not know. */
export function personOf(user: string, read: Read): Person {
  const [name = '', group] = user.split(':');
  const entry = entryOf('/etc/passwd', name, read);
  const uid = /^\d+$/.test(name) ? Number(name) : Number(entry?.[2] ?? Number.NaN);
  const gid = group === undefined ? Number(entry?.[3] ?? uid) : groupOf(group, read);
  if (!isId(uid) || !isId(gid)) throw new ErrInvalidConfig(`there is no user '${user}' in the sandbox`);
  return { uid, gid, home: entry?.[5]?.startsWith('/') ? entry[5] : null };
}

/** The largest number is none: it means "no change" (setuid(2)). */
const MAX_ID = 0xffff_fffe;

function isId(id: number): boolean {
  return Number.isInteger(id) && id >= 0 && id <= MAX_ID;
}

function groupOf(group: string, read: Read): number {
  return /^\d+$/.test(group) ? Number(group) : Number(entryOf('/etc/group', group, read)?.[2] ?? Number.NaN);
}

/** passwd(5), group(5): the fields of the line that begins with the name, or has the number. */
function entryOf(file: string, key: string, read: Read): readonly string[] | undefined {
  const lines = (read(file) ?? '').split('\n').map(line => line.split(':'));
  return lines.find(([name, , id]) => name === key || id === key);
}

/**
 * Who a command is, by name or number. A sandbox of this host's programs has one user, ours; it may be called as the
 * caller likes.
 */

import { ErrInvalidConfig } from '../errors.js';
import type { Identity } from './bwrap.js';
import { readHostText } from './host.js';

/** `name`, `uid`, `user:group`; absent: `own`. Throws `VM_CONFIG_INVALID` for a name that the sandbox does not know. */
export function identityOf(user: string | undefined, own: Identity): Identity {
  if (user === undefined || user === '') return own;
  const [name = '', group] = user.split(':');
  const entry = entryOf('/etc/passwd', name);
  const uid = /^\d+$/.test(name) ? Number(name) : Number(entry?.[2] ?? Number.NaN);
  const gid = group === undefined ? Number(entry?.[3] ?? uid) : groupOf(group);
  if (!Number.isInteger(uid) || !Number.isInteger(gid)) {
    throw new ErrInvalidConfig(`there is no user '${user}' in the sandbox`);
  }
  return { uid, gid };
}

function groupOf(group: string): number {
  return /^\d+$/.test(group) ? Number(group) : Number(entryOf('/etc/group', group)?.[2] ?? Number.NaN);
}

/** passwd(5), group(5): the fields of the line that begins with the name, or has the number. */
function entryOf(file: string, key: string): readonly string[] | undefined {
  const lines = (readHostText(file) ?? '').split('\n').map(line => line.split(':'));
  return lines.find(([name, , id]) => name === key || id === key);
}

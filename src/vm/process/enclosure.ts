/** What a machine without a network is enclosed in (shell: tries whether the machine gives user namespaces). */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Tools } from '../../net/vestibule/index.js';
import type { Enclosure } from './join.js';

/** As the door does: a user namespace wherever there is one, also for root. */
export async function ownEnclosure(tools: Tools): Promise<Enclosure> {
  try {
    await promisify(execFile)(tools.unshare, ['--user', '--map-root-user', '--', tools.sh, '-c', ':'], {
      env: {},
    });
    return { pid: null, userNamespace: true, tools };
  } catch {
    // Refused: only root can do without, and whoever else tries is told so by the start.
    return { pid: null, userNamespace: false, tools };
  }
}

/** Where the gateway keeps what outlives a run (shell: asks the file system). */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../policy/load.js';
import type { Environment } from '../secrets/sources.js';

export interface Paths {
  /** The CA's key and certificate. */
  readonly ca: string;
  /** The key and the ledger of placeholders. */
  readonly placeholders: string;
  /** All of it; machines and what they boot from are in it. */
  readonly state: string;
  /** Images, their layers and what is made of them. */
  readonly images: string;
  /** The key that signs spools, and their anchors. */
  readonly spoolKey: string;
  /** Invisible in every sandbox. */
  readonly hidden: readonly string[];
}

/**
 * A checkout of one's own keeps its CA in its `certs/`; everybody else in `$SALLYPORT_STATE`, or
 * `$XDG_STATE_HOME/sallyport`, or `~/.local/state/sallyport`.
 */
export function statePaths(env: Environment): Paths {
  const given = env.SALLYPORT_STATE;
  const state =
    given ?? join(env.XDG_STATE_HOME ?? join(env.HOME ?? homedir(), '.local', 'state'), 'sallyport');
  const certs = join(packageRoot(), 'certs');
  const ca = given === undefined && isOwnCheckout(certs) ? join(certs, 'ca') : join(state, 'ca');
  return {
    ca,
    state,
    placeholders: join(state, 'placeholders'),
    images: join(state, 'images'),
    spoolKey: join(state, 'spool'),
    hidden: [...new Set([state, ca, certs])],
  };
}

function isOwnCheckout(certs: string): boolean {
  if (!existsSync(join(packageRoot(), '.git')) || !existsSync(certs)) return false;
  if (statSync(certs).uid !== process.getuid?.()) return false;
  try {
    accessSync(certs, constants.W_OK);
    return true;
  } catch {
    // Somebody else's checkout, or a read-only one: the state folder it is.
    return false;
  }
}

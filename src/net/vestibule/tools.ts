/**
 * The programs that the inner door stands on: where they are, and how to get them (shell: looks at the file system).
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { GatewayError } from '../../core/errors.js';
import {
  installCommand,
  PACKAGE_MANAGER_NAMES,
  type PackageManager,
  TOOL_NAMES,
  type ToolName,
} from './mending.js';

/** Absolute paths. Without `nft` the door is a plain one: listeners on just the ports that the policy names. */
export type Tools = Readonly<Record<Exclude<ToolName, 'nft'>, string>> & { readonly nft: string | null };

/** Where the administrator's programs are; an ordinary user's PATH often leaves them out. */
export const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The first executable file called `name` in `path`, or null. */
export function findProgram(name: string, path: string = SYSTEM_PATH): string | null {
  for (const folder of path.split(delimiter)) {
    // A relative entry would be the working directory's, and that is the sandbox's to write.
    if (folder.startsWith('/') && isExecutable(join(folder, name))) return join(folder, name);
  }
  return null;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false; // absent or not ours to run: either way it is not the program we look for
  }
}

/**
 * All tools. Throws `TOOL_MISSING`, which names every absent one and the command that installs them; `nft` is the one
 * that a sandbox can do without.
 */
export function findTools(path: string = SYSTEM_PATH): Tools {
  const found = TOOL_NAMES.map(name => [name, findProgram(name, path)] as const);
  const missing = found.flatMap(([name, file]) => (file === null ? [name] : []));
  if (missing.every(name => name === 'nft')) return Object.fromEntries(found) as Tools;
  throw new GatewayError('TOOL_MISSING', missingText(missing));
}

function missingText(missing: readonly ToolName[]): string {
  const manager = findPackageManager();
  const mending = manager === null ? 'install them' : `\`${installCommand(manager, missing)}\``;
  return `not installed: ${missing.join(', ')}. Mend it with ${mending}, or run \`sallyport setup\`.`;
}

/** The package manager of this machine, or null for one that we do not know. */
export function findPackageManager(path: string = SYSTEM_PATH): PackageManager | null {
  return PACKAGE_MANAGER_NAMES.find(name => findProgram(name, path) !== null) ?? null;
}

/** For a machine's link, which is nothing without its rules. */
export function nftMending(): string {
  return missingText(['nft']);
}

/** Commands for a guest: quoted for its shell, and composed as an image says. Pure. */
import type { ImageConfig } from './config.js';
import { ErrInvalidConfig } from './errors.js';

/** What no shell reads in two ways. `=` is not among it: at the front it would make an assignment. */
const PLAIN = /^[A-Za-z0-9_@%+:,./-]+$/;

/** The arguments as one line that a POSIX shell reads back as they are (POSIX.1-2017, 2.2.2). */
export function shellQuoteArgs(args: readonly string[]): string {
  return args.map(shellQuote).join(' ');
}

function shellQuote(arg: string): string {
  if (arg.includes('\0')) throw new ErrInvalidConfig('an argument holds a NUL, which no command line can');
  return PLAIN.test(arg) ? arg : `'${arg.replaceAll("'", `'\\''`)}'`;
}

/**
 * The command of a container: ENTRYPOINT always, then the user's arguments, or CMD where there are none. Empty if the
 * image says nothing and neither does the user.
 */
export function composeCommand(
  image: ImageConfig | null | undefined,
  userArgs: readonly string[] = [],
): readonly string[] {
  const args = userArgs.length > 0 ? userArgs : (image?.cmd ?? []);
  return [...(image?.entrypoint ?? []), ...args];
}

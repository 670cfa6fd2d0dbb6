/** `sallyport secrets whose PLACEHOLDER`: for which run, sandbox and secret it was made, offline. */
import { errorCode } from '../core/errors.js';
import { Ledger } from '../secrets/ledger.js';
import { isPlaceholder } from '../secrets/placeholder.js';
import { EXIT_USAGE, type Io } from './io.js';
import { statePaths } from './paths.js';

/** Exit code 0: it is told; 1: nobody's that is known here; 2: not a placeholder, or the ledger cannot be read. */
export function runWhose(placeholder: string, io: Io): number {
  if (!isPlaceholder(placeholder)) {
    io.stderr('sallyport: a placeholder is GWPH_ and 32 lower-case hexadecimal digits\n');
    return EXIT_USAGE;
  }
  try {
    const owner = Ledger.find(statePaths(process.env).placeholders)?.whose(placeholder) ?? null;
    if (owner === null) {
      io.stderr('sallyport: no run of this state folder made it\n');
      return 1;
    }
    io.stdout(`secret ${owner.secret}, sandbox ${owner.sandbox}, run ${owner.run}\n`);
    return 0;
  } catch (error) {
    io.stderr(`sallyport: ${error instanceof Error ? error.message : errorCode(error)}\n`);
    return EXIT_USAGE;
  }
}

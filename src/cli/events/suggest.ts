/** `sallyport events suggest LOG`: the smallest policy that allows what a recorded run did. */
import { GatewayError } from '../../core/errors.js';
import { policyText } from '../../events/report/policy-text.js';
import { Gatherer } from '../../events/report/suggest.js';
import { EXIT_USAGE, type Io } from '../io.js';
import { EXIT_INCOMPLETE, readFacts } from './log.js';
import { paperFor } from './paper.js';

/** Exit code 0; 2: something cannot be read or written; 3: some lines hold no event; 130: interrupted. */
export async function runSuggest(
  path: string,
  { output }: { readonly output?: string },
  io: Io,
): Promise<number> {
  const gathered = new Gatherer();
  const code = await readFacts(path, io, facts => {
    for (const fact of facts) gathered.add(fact);
  });
  if (code !== 0 && code !== EXIT_INCOMPLETE) return code;
  try {
    const paper = await paperFor(output);
    await paper.write(policyText(gathered, { source: path }));
    await paper.close();
    return code;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    io.stderr(`sallyport: ${error.message}\n`);
    return EXIT_USAGE;
  }
}

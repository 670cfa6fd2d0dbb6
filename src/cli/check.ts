/** `sallyport check FILE…`: every problem of a policy at once, its warnings, and its examples, run. */
import { compile } from '../policy/compile.js';
import { type ExampleOutcome, runExamples } from '../policy/examples.js';
import { readPolicy } from '../policy/load.js';
import type { Policy, PolicyDocument } from '../policy/policy.js';
import { problemText } from '../policy/problem.js';
import { EXIT_USAGE, type Io } from './io.js';

/** One file or profile by its name. Exit code 0: all well; 1: an example failed; 2: it is invalid. */
export async function runCheck(nameOrFile: string, io: Io): Promise<number> {
  const read = await readPolicy(nameOrFile);
  const compiled = read.ok ? compile([read.value]) : read;
  if (!read.ok || !compiled.ok) {
    const problems = compiled.ok ? [] : compiled.error;
    for (const problem of problems) io.stderr(`${problemText(nameOrFile, problem)}\n`);
    io.stderr(`${nameOrFile}: ${count(problems.length, 'problem')}\n`);
    return EXIT_USAGE;
  }
  const { script } = compiled.value;
  // Loaded when there is a script to look at: it needs a thread, and an engine.
  const problem = script === null ? null : await (await import('./script.js')).scriptProblem(script);
  if (problem !== null) {
    io.stderr(`${problem}\n`);
    return EXIT_USAGE;
  }
  for (const warning of compiled.value.warnings) io.stderr(`${nameOrFile}: warning: ${warning}\n`);
  const outcomes = runExamples(compiled.value);
  const failed = outcomes.filter(outcome => !outcome.pass);
  for (const outcome of failed) io.stderr(`${nameOrFile}: ${failureText(outcome)}\n`);
  io.stdout(`${nameOrFile}: ${summary(compiled.value, read.value, outcomes.length, failed.length)}\n`);
  return failed.length > 0 ? 1 : 0;
}

function failureText({ example, seen }: ExampleOutcome): string {
  const wanted = [example.expect, example.reason, example.rule].filter(part => part !== null).join(', ');
  return `${example.label}: expected ${wanted}; got ${seen}`;
}

function summary(policy: Policy, document: PolicyDocument, examples: number, failed: number): string {
  const parts = [
    `mode ${policy.mode}`,
    count(document.allowDomain.length + document.denyDomain.length, 'domain rule'),
    count(document.allowCidr.length + document.denyCidr.length, 'CIDR rule'),
    count(policy.secrets.length, 'secret'),
    failed === 0
      ? `${count(examples, 'example')} passed`
      : `${failed} of ${count(examples, 'example')} failed`,
  ];
  return parts.join(', ');
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

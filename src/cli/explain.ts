/** `sallyport explain URL|HOST[:PORT]`: the verdict of each question in order, the rule, the reason and the hint. */
import { type IpAddress, parseAddress } from '../core/address.js';
import type { Result } from '../core/result.js';
import { err, ok } from '../core/result.js';
import { ruling } from '../policy/examples.js';
import type { PolicyFlags } from '../policy/flags.js';
import { quoted } from '../policy/problem.js';
import { parseSubject } from '../policy/subject.js';
import { type Journey, questionText, type Step, walk } from '../policy/walk.js';
import { EXIT_USAGE, type Io } from './io.js';
import { layered } from './layered.js';

export interface ExplainArgs extends PolicyFlags {
  /** An http or https URL, or `HOST[:PORT]` for bytes that are not HTTP. */
  readonly subject: string;
  /** Files or names of profiles, later ones on top; none is nothing but the flags. */
  readonly policy?: readonly string[];
  /** Default GET. */
  readonly method?: string;
  /** What the name resolves to; nothing is looked up. */
  readonly resolvesTo?: readonly string[];
  readonly json?: boolean;
}

/** Exit code 0: allowed; 1: refused; 2: the policy or the arguments are invalid. */
export async function runExplain(args: ExplainArgs, io: Io): Promise<number> {
  const policy = await layered(args.policy ?? [], args);
  const journey = parseJourney(args);
  if (!policy.ok || !journey.ok) {
    const lines = [...(policy.ok ? [] : policy.error), ...(journey.ok ? [] : [journey.error])];
    io.stderr(lines.map(line => `${line}\n`).join(''));
    return EXIT_USAGE;
  }
  const steps = walk(policy.value.policy, journey.value);
  const refused = steps.some(step => !step.verdict.allow);
  io.stdout(
    args.json === true
      ? `${JSON.stringify(steps.map(plainStep))}\n`
      : report(args.subject, journey.value, steps),
  );
  return refused ? 1 : 0;
}

function parseJourney({ subject: target, method = 'GET', resolvesTo }: ExplainArgs): Result<Journey, string> {
  const subject = parseSubject(target.includes('://') ? 'url' : 'connect', target);
  if (!subject.ok) return subject;
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/.test(method)) return err(`${quoted(method)} is not a method`);
  const addresses: IpAddress[] = [];
  for (const text of resolvesTo ?? []) {
    const address = parseAddress(text);
    if (!address.ok) return err(`${quoted(text)} is not an IP address`);
    addresses.push(address.value);
  }
  return ok({ ...subject.value, method, addresses: addresses.length > 0 ? addresses : null });
}

function report(target: string, journey: Journey, steps: readonly Step[]): string {
  const refused = steps.find(step => !step.verdict.allow);
  const shadowed = steps.find(({ verdict }) => verdict.allow && verdict.wouldDeny !== undefined);
  const passes = shadowed === undefined ? 'allowed' : 'allowed by mode shadow, refused once it is enforced';
  const lines = [`${refused === undefined ? passes : 'refused'}: ${target}`, ...steps.map(stepLine)];
  if (refused !== undefined && !refused.verdict.allow) {
    lines.push(`  ${refused.verdict.hint}`);
  } else {
    const secrets = ruling(steps);
    if (secrets?.allow && secrets.secrets.length > 0)
      lines.push(`  secrets in scope: ${secrets.secrets.join(', ')}`);
    if (!steps.some(step => step.question.ask === 'dial')) {
      lines.push(
        `  ${'dial'.padEnd(8)}each address is decided once the name is resolved (try --resolves-to IP)`,
      );
    }
    if (journey.kind === 'connect') lines.push(`  ${passage(steps)}`);
  }
  return `${lines.join('\n')}\n`;
}

function passage(steps: readonly Step[]): string {
  const verdict = steps.find(step => step.question.ask === 'open')?.verdict;
  const tunnel = verdict?.allow === true && verdict.via === 'tunnel';
  return tunnel
    ? 'any bytes may pass; HTTP and TLS among them are read'
    : 'only HTTP may pass, inside TLS or not';
}

function stepLine({ question, verdict }: Step): string {
  const tunnel = verdict.allow && verdict.via === 'tunnel' ? ' (tunnel)' : '';
  const ruled = verdict.allow ? `allow   ${verdict.rule}${tunnel}` : `refuse  ${verdict.reason}`;
  const by = !verdict.allow && verdict.rule !== null ? ` by ${verdict.rule}` : shadowText(verdict);
  return `  ${question.ask.padEnd(8)}${questionText(question)}  →  ${ruled}${by}`;
}

function shadowText(verdict: Step['verdict']): string {
  if (!verdict.allow || verdict.wouldDeny === undefined) return '';
  const { reason, rule } = verdict.wouldDeny;
  return `, would be refused: ${reason}${rule === null ? '' : ` by ${rule}`}`;
}

function plainStep({ question, verdict }: Step): object {
  return { ask: question.ask, about: questionText(question), ...verdict };
}

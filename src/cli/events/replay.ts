/** `sallyport events replay LOG --policy NEW.yaml`: what a candidate policy would have decided otherwise. */

import { printable } from '../../events/encode.js';
import { type Change, createReplay, type ReadonlyChanges, type Replay } from '../../events/report/replay.js';
import type { PolicyFlags } from '../../policy/flags.js';
import { EXIT_OK, EXIT_USAGE, type Io } from '../io.js';
import { layered } from '../layered.js';
import { EXIT_INCOMPLETE, readFacts } from './log.js';
import { standardOutput } from './paper.js';

export type FailOn = 'newly-allowed' | 'newly-denied' | 'secret-reach';

export interface ReplayFlags extends PolicyFlags {
  readonly policy?: readonly string[];
  readonly failOn?: readonly FailOn[];
  readonly json: boolean;
}

const EXIT_FAILED_ON = 1;
const SHOWN = 20;

/**
 * Exit code 0: compared; 1: something that `--fail-on` names; 2: the policy or the log cannot be read; 3: compared, but
 * some lines hold no event; 130: interrupted.
 */
export async function runReplay(path: string, flags: ReplayFlags, io: Io): Promise<number> {
  if (!namesPolicy(flags)) {
    io.stderr('sallyport: name a candidate: --policy FILE, or flags such as --allow\n');
    return EXIT_USAGE;
  }
  const candidate = await layered(flags.policy ?? [], flags);
  if (!candidate.ok) {
    io.stderr(candidate.error.map(line => `${line}\n`).join(''));
    return EXIT_USAGE;
  }
  const { policy, layers } = candidate.value;
  const replay = createReplay(policy, layers);
  const code = await readFacts(path, io, facts => {
    for (const fact of facts) replay.add(fact);
  });
  if (code !== EXIT_OK && code !== EXIT_INCOMPLETE) return code;
  await standardOutput().write(flags.json ? `${JSON.stringify(plain(replay))}\n` : report(replay));
  return flags.failOn?.some(what => isFound(replay, what)) === true ? EXIT_FAILED_ON : code;
}

function namesPolicy({ policy = [], allow = [], allowCidr = [] }: ReplayFlags): boolean {
  return policy.length + allow.length + allowCidr.length > 0;
}

function isFound({ newlyAllowed, newlyDenied, reach }: Replay, what: FailOn): boolean {
  if (what === 'newly-allowed') return newlyAllowed.total > 0;
  return what === 'newly-denied' ? newlyDenied.total > 0 : reach.grown().length > 0;
}

function plain(replay: Replay): object {
  const { asked, newlyAllowed, newlyDenied, reach } = replay;
  return {
    asked,
    newly_allowed: plainChanges(newlyAllowed),
    newly_denied: plainChanges(newlyDenied),
    unused_rules: replay.unusedRules(),
    secret_reach: Object.fromEntries(reach.grown()),
  };
}

function plainChanges(changes: ReadonlyChanges): object {
  return { total: changes.total, not_listed: changes.uncounted, changes: changes.ranked() };
}

function report(replay: Replay): string {
  const { asked, newlyAllowed, newlyDenied, reach } = replay;
  const unused = replay.unusedRules();
  const grown = reach.grown();
  const lines = [
    `${asked} decisions: ${newlyAllowed.total} newly allowed, ${newlyDenied.total} newly denied`,
    ...section(
      'newly allowed',
      newlyAllowed,
      ({ reason, rule }) => `was ${reason || 'refused'}, now by ${rule}`,
    ),
    ...section('newly denied', newlyDenied, ({ reason, rule }) =>
      rule === null ? reason : `${reason} by ${rule}`,
    ),
    ...list('rules that decided nothing', unused),
    ...list(
      'secrets that could go further',
      grown.map(([secret, places]) => `${secret}: ${places.slice(0, SHOWN).join(', ')}`),
    ),
  ];
  return `${lines.join('\n')}\n`;
}

function section(
  title: string,
  changes: ReadonlyChanges,
  why: (change: Change) => string,
): readonly string[] {
  const ranked = changes.ranked();
  const rows = ranked
    .slice(0, SHOWN)
    .map(change => `${`${change.times}`.padStart(7)}  ${change.subject}  (${why(change)})`);
  const more = ranked.length > SHOWN ? [`${ranked.length - SHOWN} more (--json lists all)`] : [];
  return list(title, [...rows, ...more]);
}

function list(title: string, rows: readonly string[]): readonly string[] {
  return rows.length === 0 ? [] : ['', `${title}:`, ...rows.map(row => `  ${printable(row)}`)];
}

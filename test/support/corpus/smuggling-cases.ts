/**
 * The cases of `smuggling.json`, and the judgement of what was seen. How the bytes are delivered, to a bare server or
 * through a whole gateway, is the caller's business.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface SeenRequest {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly body: string;
}

export interface SmugglingCase {
  readonly id: string;
  readonly category: string;
  readonly mode: 'transparent-http' | 'in-tls' | 'explicit-proxy';
  readonly sni?: string;
  /** Authoritative: the exact bytes, in Base64. */
  readonly raw_b64: string;
  readonly policyChoice?: string;
  readonly expected: {
    readonly action: 'reject' | 'normalise' | 'accept';
    readonly status: readonly (number | null)[] | null;
    readonly upstream_requests: readonly SeenRequest[];
    readonly close_after: boolean;
  };
  readonly note: string;
}

export interface SeenSmuggling {
  /** Status codes of the final answers, in order. */
  readonly statuses: readonly number[];
  /** The gateway closed the connection after its last answer. */
  readonly closed: boolean;
  /** Whole requests that any upstream has received, in order. */
  readonly upstream: readonly SeenRequest[];
}

export interface Judgement {
  readonly pass: boolean;
  /** One line: what was expected and what was seen. */
  readonly seen: string;
}

export function loadSmugglingCases(directory: string): readonly SmugglingCase[] {
  return JSON.parse(readFileSync(join(directory, 'smuggling.json'), 'utf8')).cases;
}

export function judgeSmuggling(testCase: SmugglingCase, seen: SeenSmuggling): Judgement {
  const { expected } = testCase;
  const pass = expected.action === 'reject' ? isRejected(expected, seen) : isForwarded(expected, seen);
  return { pass, seen: `expected ${JSON.stringify(expected)}, seen ${JSON.stringify(seen)}` };
}

type Expected = SmugglingCase['expected'];

/** The requests before the bad one are answered in order; then comes one of the listed refusals, and the end. */
function isRejected(expected: Expected, seen: SeenSmuggling): boolean {
  const before = expected.upstream_requests.length;
  const allowed = expected.status ?? [];
  if (!sameRequests(expected.upstream_requests, seen.upstream)) return false;
  if (expected.close_after && !seen.closed) return false;
  if (seen.statuses.slice(0, before).some((status, i) => status !== allowed[i])) return false;
  const refusals = allowed.slice(before);
  if (seen.statuses.length === before) return refusals.includes(null);
  return seen.statuses.length === before + 1 && refusals.includes(seen.statuses[before] ?? null);
}

/** A list for one request is a choice of answers, of which an error reaches no upstream; else it is a sequence. */
function isForwarded(expected: Expected, seen: SeenSmuggling): boolean {
  const { status, upstream_requests } = expected;
  if (status === null) return seen.statuses.length > 0 && seen.upstream.length === seen.statuses.length;
  if (upstream_requests.length > 1) {
    return sameRequests(upstream_requests, seen.upstream) && String(seen.statuses) === String(status);
  }
  const [first = null] = seen.statuses;
  if (seen.statuses.length !== 1 || !status.includes(first)) return false;
  const refused = first !== null && first >= 400;
  return sameRequests(refused ? [] : upstream_requests, seen.upstream);
}

function sameRequests(expected: readonly SeenRequest[], seen: readonly SeenRequest[]): boolean {
  return (
    expected.length === seen.length &&
    expected.every((request, i) => {
      const other = seen[i];
      return (
        other !== undefined &&
        request.method === other.method &&
        request.target === other.target &&
        request.host === other.host &&
        request.body === other.body
      );
    })
  );
}

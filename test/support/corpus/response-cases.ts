/**
 * The cases of `responses.json`, and the judgement of what a guest saw. Who stands between upstream and guest, one
 * codec or a whole gateway, is the caller's business.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Judgement } from './smuggling-cases.js';

export interface ResponseCase {
  readonly id: string;
  readonly category: string;
  readonly request: { readonly method: string; readonly headers: readonly string[] };
  /** What the upstream writes; the other form is in Base64. */
  readonly upstream_raw?: string;
  readonly upstream_raw_b64?: string;
  /** `stall`, `then stall`: the upstream keeps the connection open and says nothing more. */
  readonly segments?: string;
  /** Alternatives in words: `502 or pass normalised`. */
  readonly expected: string;
  readonly assertions: readonly string[];
  readonly note: string;
}

export interface SeenResponse {
  /** Of the final answer; null when the connection ended without one. */
  readonly status: number | null;
  /** Field lines as they came. */
  readonly fields: readonly string[];
  readonly body: string;
  /** The answer ended as it said it would. */
  readonly complete: boolean;
  /** Body of the answer to the guest's next request, which the upstream answers with `own`; null when not asked. */
  readonly nextBody: string | null;
}

export const NEXT_BODY = 'own';

export function loadResponseCases(directory: string): readonly ResponseCase[] {
  return JSON.parse(readFileSync(join(directory, 'responses.json'), 'utf8')).cases;
}

export function upstreamBytes({ upstream_raw, upstream_raw_b64 }: ResponseCase): Buffer {
  if (upstream_raw_b64 !== undefined) return Buffer.from(upstream_raw_b64, 'base64');
  return Buffer.from(upstream_raw ?? '', 'latin1');
}

/** Judges framing, redirects, stalls and WebSocket handshakes; what is redacted is judged elsewhere. */
export function judgeResponse(testCase: ResponseCase, seen: SeenResponse): Judgement {
  const pass =
    alternatives(testCase.expected).some(wanted => matches(wanted, testCase, seen)) &&
    !seen.body.includes('EVIL!') &&
    (seen.nextBody === null || seen.nextBody === NEXT_BODY) &&
    !leaksHop(seen);
  return { pass, seen: `expected ${testCase.expected}, seen ${JSON.stringify(seen).slice(0, 600)}` };
}

/** `504/abort within …` and `502 or unfolded` are choices; what follows a comma or semicolon is commentary. */
function alternatives(expected: string): string[] {
  const [choice = ''] = expected.split(/[,;]/);
  return choice.split(/ or |\//).map(text => text.trim());
}

function matches(wanted: string, testCase: ResponseCase, seen: SeenResponse): boolean {
  const status = /^\d{3}/.exec(wanted)?.[0];
  if (status !== undefined) return seen.status === Number(status);
  if (wanted.startsWith('abort') || wanted.startsWith('idle timeout')) return !seen.complete;
  const whole = seen.complete && seen.status === finalStatus(upstreamBytes(testCase));
  return wanted.includes('without body') ? whole && seen.body === '' : whole;
}

/** The status of the first answer that is not interim. */
function finalStatus(bytes: Buffer): number | null {
  for (const [, status = ''] of bytes.toString('latin1').matchAll(/^HTTP\/1\.[01] (\d{3})\b/gm)) {
    if (!/^1(?!01)/.test(status)) return Number(status);
  }
  return null;
}

/** Fields that bind the upstream's connection or lead to another one. */
function leaksHop({ status, fields }: SeenResponse): boolean {
  const names = fields.map(field => field.slice(0, field.indexOf(':')).toLowerCase());
  const hop = [
    'keep-alive',
    'proxy-authenticate',
    'proxy-connection',
    'alt-svc',
    ...(status === 101 ? [] : ['upgrade']),
  ];
  return names.some(name => hop.includes(name));
}

/**
 * The script's part in a request: asked after the rules, before the secrets. What it rewrites is decided again by the
 * caller; what it cannot see, although the rule says that it must, does not pass.
 */

import { FieldNames, type HeaderList, withoutHeaders } from '../../core/headers.js';
import type { Denial, PolicyScript } from '../../policy/hooks.js';
import type { Allow } from '../../policy/question.js';
import type { Answer, Request, RequestHead } from '../exchange.js';
import { type Refusal, refusalOfContent, refusalOfScript } from '../refusal.js';
import { showContent } from './content.js';
import { factsOf } from './facts.js';
import { rewrittenHead, synthetic } from './rewrite.js';

export type Asked =
  | { readonly kind: 'goes-on'; readonly request: Request }
  /** To be decided again. */
  | { readonly kind: 'rewritten'; readonly request: Request }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'answered'; readonly answer: Answer };

export async function askRequest(request: Request, verdict: Allow, script: PolicyScript): Promise<Asked> {
  const { head } = request;
  if (script.onRequest === null) return { kind: 'goes-on', request };
  const content = await contentFor(request, verdict);
  if ('refusal' in content) return { kind: 'refused', refusal: content.refusal };
  const answer = await script.onRequest({ ...factsOf(head, request.body), body: content.text });
  const goesOn = { ...request, body: content.body };
  switch (answer.kind) {
    case 'allow':
      return { kind: 'goes-on', request: goesOn };
    case 'deny':
      return refused(answer, head);
    case 'respond': {
      const made = synthetic(answer, head.method);
      return made.ok ? { kind: 'answered', answer: made.value } : refused(badAnswer(made.error), head);
    }
    case 'rewrite': {
      const rewritten = rewrittenHead(head, answer);
      if (!rewritten.ok) return refused(badAnswer(rewritten.error), head);
      return { kind: 'rewritten', request: { ...goesOn, head: rewritten.value } };
    }
  }
}

async function contentFor(
  { head, body }: Request,
  { scriptBodyBytes }: Allow,
): Promise<{ readonly text: string | null; readonly body: Request['body'] } | { readonly refusal: Refusal }> {
  if (scriptBodyBytes === undefined) return { text: null, body };
  if (head.framing.kind === 'length' && head.framing.bytes > scriptBodyBytes) {
    return { refusal: refusalOfContent('too-long', head.authority) };
  }
  const { omitted, ...content } = await showContent(body, head.headers, scriptBodyBytes);
  return omitted === null ? content : { refusal: refusalOfContent(omitted, head.authority) };
}

const EXTENSIONS = new FieldNames(['sec-websocket-extensions']);
const ACCEPT_ENCODING = new FieldNames(['accept-encoding']);

/** The request whose answer a script can read: neither a WebSocket nor a content may come back compressed. */
export function readableBack(request: Request, script: PolicyScript, { scriptBodyBytes }: Allow): Request {
  const reads = script.onMessage !== null || (script.onResponse !== null && scriptBodyBytes !== undefined);
  if (!reads) return request;
  const { head } = request;
  if (head.upgrade !== null) {
    return { ...request, head: { ...head, headers: withoutHeaders(head.headers, EXTENSIONS) } };
  }
  const headers: HeaderList = [
    ...withoutHeaders(head.headers, ACCEPT_ENCODING),
    ['Accept-Encoding', 'identity'],
  ];
  return { ...request, head: { ...head, headers } };
}

function refused(denial: Denial, head: RequestHead): Asked {
  return { kind: 'refused', refusal: refusalOfScript(denial, head.authority) };
}

function badAnswer(what: string): Denial {
  return { kind: 'deny', code: 'script-error', reason: `onRequest ${what}` };
}

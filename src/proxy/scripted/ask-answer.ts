/**
 * The script's part in an answer: asked after redaction, before the sandbox sees a byte of it. Of a stream of server-sent
 * events, each is asked about before it goes on.
 */
import { Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GatewayError } from '../../core/errors.js';
import { firstHeader } from '../../core/headers.js';
import type {
  Denial,
  Hook,
  MessageAnswer,
  MessageFacts,
  PolicyScript,
  RequestFacts,
} from '../../policy/hooks.js';
import type { Allow } from '../../policy/question.js';
import type { Answer, RequestHead } from '../exchange.js';
import { isCoded, type Shown, showContent } from './content.js';
import { factsOf } from './facts.js';
import { patched } from './rewrite.js';
import { type SseEvent, SseReader } from './sse.js';

/** Longest message that a script is shown. */
export const MESSAGE_BYTES = 262_144;

export type AskedAnswer =
  | {
      readonly kind: 'passes';
      readonly answer: Answer;
      /** Why the content was cut off, once it was; null: it was not, for all that is known. */
      readonly denial: () => Denial | null;
    }
  | { readonly kind: 'denied'; readonly denial: Denial };

export interface Asking {
  readonly script: PolicyScript | null;
  /** The request as it went out, placeholders in place. */
  readonly head: RequestHead;
  readonly verdict: Allow;
}

export function askAnswer(
  answer: Answer,
  { script, head, verdict }: Asking,
): AskedAnswer | Promise<AskedAnswer> {
  if (script === null || (script.onResponse === null && script.onMessage === null)) return passes(answer);
  return askScript(answer, head, verdict, script);
}

async function askScript(
  answer: Answer,
  head: RequestHead,
  verdict: Allow,
  script: PolicyScript,
): Promise<AskedAnswer> {
  const facts = factsOf(head);
  const bodyBytes = verdict.scriptBodyBytes ?? null;
  const asked = script.onResponse === null ? passes(answer) : await askHead(answer, facts, script, bodyBytes);
  if (asked.kind === 'denied' || script.onMessage === null || !isEventStream(asked.answer, facts.method))
    return asked;
  if (isCoded(asked.answer.head.headers)) {
    dispose(asked.answer);
    return { kind: 'denied', denial: fault('onMessage cannot be asked: the stream of events is coded') };
  }
  const gate = new EventGate(script.onMessage, facts);
  const { body } = asked.answer;
  if (body instanceof Uint8Array) gate.end(body);
  // A failure destroys the gate, and its reader sees that.
  else pipeline(body, gate).catch(() => undefined);
  return { kind: 'passes', answer: { ...asked.answer, body: gate }, denial: () => gate.denial };
}

const noDenial = (): null => null;

function passes(answer: Answer): AskedAnswer {
  return { kind: 'passes', answer, denial: noDenial };
}

async function askHead(
  answer: Answer,
  request: RequestFacts,
  script: PolicyScript,
  bodyBytes: number | null,
): Promise<AskedAnswer> {
  if (script.onResponse === null) return passes(answer);
  const content = await contentOf(answer, request.method, bodyBytes);
  const whole = content === null ? answer : { ...answer, body: content.body };
  const { status, headers } = answer.head;
  const said = await script.onResponse({
    status,
    headers,
    body: content?.text ?? null,
    bodyOmitted: content?.omitted ?? null,
    request,
  });
  if (said.kind === 'pass') return passes(whole);
  if (said.kind === 'rewrite') {
    const fields = patched(headers, said.headers);
    if (fields.ok) return passes({ ...whole, head: { ...whole.head, headers: fields.value } });
    dispose(whole);
    return { kind: 'denied', denial: fault(`onResponse ${fields.error}`) };
  }
  dispose(whole);
  return { kind: 'denied', denial: said };
}

/** Null: the rule does not ask for it. */
async function contentOf(answer: Answer, method: string, bodyBytes: number | null): Promise<Shown | null> {
  if (bodyBytes === null || answer.head.status === 101) return null;
  if (isEventStream(answer, method)) return { text: null, omitted: 'stream', body: answer.body };
  return await showContent(answer.body, answer.head.headers, bodyBytes);
}

function isEventStream({ head, body }: Answer, method: string): boolean {
  if (method === 'HEAD' || (body instanceof Uint8Array && body.length === 0)) return false;
  const type = firstHeader(head.headers, 'content-type')?.trim().toLowerCase() ?? '';
  return /^text\/event-stream(?:[\s;]|$)/.test(type);
}

/** The upstream need not go on sending what nobody will read. */
function dispose({ body }: Answer): void {
  if (!(body instanceof Uint8Array)) body.destroy();
}

function fault(reason: string): Denial {
  return { kind: 'deny', code: 'script-error', reason };
}

/** Holds the bytes of an event until the script has passed it. */
class EventGate extends Transform {
  denial: Denial | null = null;
  readonly #hook: NonNullable<Hook<MessageFacts, MessageAnswer>>;
  readonly #request: RequestFacts;
  readonly #reader = new SseReader();

  constructor(hook: NonNullable<Hook<MessageFacts, MessageAnswer>>, request: RequestFacts) {
    super();
    this.#hook = hook;
    this.#request = request;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const events = this.#reader.push(chunk);
    if (this.#reader.held > MESSAGE_BYTES) {
      this.#deny(fault(`onMessage cannot be asked: an event is longer than ${MESSAGE_BYTES} bytes`), done);
      return;
    }
    this.#askAll(events).then(denial => (denial === null ? done() : this.#deny(denial, done)), done);
  }

  override _flush(done: TransformCallback): void {
    const last = this.#reader.end();
    this.#askAll(last === null ? [] : [last]).then(
      denial => (denial === null ? done() : this.#deny(denial, done)),
      done,
    );
  }

  async #askAll(events: readonly SseEvent[]): Promise<Denial | null> {
    for (const { text, raw } of events) {
      if (text !== null) {
        const facts = {
          direction: 'received',
          kind: 'sse',
          text,
          bytes: raw.length,
          request: this.#request,
        } as const;
        const answer = await this.#hook(facts);
        if (answer.kind === 'deny') return answer;
      }
      this.push(raw);
    }
    return null;
  }

  #deny(denial: Denial, done: TransformCallback): void {
    this.denial = denial;
    done(new GatewayError('UPSTREAM_TRUNCATED', `the policy script cut the answer off: ${denial.reason}`));
  }
}

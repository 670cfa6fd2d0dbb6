/**
 * The state of one connection from a sandbox: which bytes are a head, whose the content is, when it ends.
 *
 * A shell: socket events in, writes out.
 */

import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { type Authority, authorityText } from '../../core/authority.js';
import type { Clock } from '../../core/clock.js';
import { GatewayError, ignore, ignoreErrors } from '../../core/errors.js';
import { NO_HEADERS } from '../../core/headers.js';
import { Canceller, type CancelSignal } from '../cancel.js';
import { NO_BODY } from '../exchange.js';
import { AuthorityReader } from './authority.js';
import type { BodyFault } from './body.js';
import { type ContentOwner, ContentReader } from './content-reader.js';
import { Deadline } from './deadline.js';
import { answerOf, type RequestFault, type RequestFaultCode, requestFault } from './fault.js';
import { FieldReader } from './fields.js';
import { type ArrivedRequest, claimOf, type IntakeStep, RequestIntake } from './request-intake.js';
import { ServerExchange, type ServerLine } from './server-exchange.js';
import type { ClaimedRequest, Opening, ServerLimits, ServerOptions } from './server-options.js';
import { emitResponseHead } from './write.js';

export class ServerConnection implements ServerLine, ContentOwner {
  readonly socket: Duplex;
  readonly deadline: Deadline;
  readonly idleMs: number;
  readonly #options: ServerOptions;
  readonly #limits: ServerLimits;
  readonly #clock: Clock;
  readonly #intake: RequestIntake;
  /** Null until an answer is not taken at once. */
  #writeDeadline: Deadline | null = null;
  /** `exchange`: a request is being served. `closing`: input is discarded. `gone`: closed, or somebody else's. */
  #phase: 'head' | 'exchange' | 'closing' | 'gone' = 'head';
  #exchange: ServerExchange | null = null;
  #content: ContentReader | null = null;
  #inputEnded = false;
  /** Null once the first bytes were judged. */
  #opening: Opening | null;
  #canceller: Canceller | null = null;
  #gone: GatewayError | null = null;
  #resolve: () => void = ignore;

  constructor(socket: Duplex, options: ServerOptions, limits: ServerLimits, clock: Clock) {
    this.socket = socket;
    this.idleMs = limits.contentIdleMs;
    this.#options = options;
    this.#limits = limits;
    this.#opening = options.opening ?? null;
    const { fields, contentBytes } = limits;
    const authorities = new AuthorityReader(options);
    this.#intake = new RequestIntake(
      { facts: options, authorities, fields: new FieldReader(fields), contentBytes },
      limits,
    );
    this.#clock = clock;
    this.deadline = new Deadline(clock, () => this.#expired());
  }

  run(): Promise<void> {
    return new Promise(resolve => {
      this.#resolve = resolve;
      // `close` follows every error and says all there is to say.
      ignoreErrors(this.socket);
      this.socket.on('close', this.#onClose);
      this.socket.on('data', this.#onData).on('end', this.#onEnd).on('drain', this.#onDrain);
      this.deadline.set(this.#opening?.silenceMs ?? this.#limits.keepAliveMs);
    });
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#phase === 'closing') return;
    if (this.#phase === 'exchange') {
      this.#takeDuringExchange(chunk);
      return;
    }
    if (this.#intake.idle) this.deadline.set(this.#limits.headMs);
    this.#intake.unread.append(chunk);
    if (this.#opening === null || this.#isOpenedBy(this.#opening)) this.#take(this.#intake.read());
  };

  #isOpenedBy(opening: Opening): boolean {
    const isHttp = opening.isHttp(this.#intake.unread.bytes);
    if (isHttp === null) return false;
    this.#opening = null;
    if (isHttp) opening.onHttp();
    else {
      opening.onOther();
      this.socket.destroy();
    }
    return isHttp;
  }

  /** Content of the request, or the next request: that one waits, and the sandbox with it. */
  #takeDuringExchange(chunk: Buffer): void {
    if (this.#content !== null) {
      this.#content.push(chunk);
      return;
    }
    if (this.#exchange?.discardsContent) return;
    this.#intake.unread.append(chunk);
    this.socket.pause();
  }

  #take(step: IntakeStep): void {
    if (step.kind === 'request') this.#begin(step);
    else if (step.kind === 'connect') this.#connect(step.authority, step.headBytes);
    else if (step.kind === 'fault') this.#fault(step.code, step.claimed);
    else if (this.#inputEnded) this.#inputCutShort();
  }

  #begin({ head, persistent, content }: ArrivedRequest): void {
    this.deadline.clear();
    this.#phase = 'exchange';
    let reader: ContentReader | null = null;
    if (content.kind === 'open') {
      reader = new ContentReader(content.decoder, this);
      this.#content = reader;
      // Nothing yet is not a first piece: the stream would ask for more before its reader does.
      if (content.first !== null) reader.accept(content.first);
    }
    this.#exchange = new ServerExchange(this, head, persistent, content, reader);
    this.#options.onExchange(this.#exchange).then(this.#served, this.#served);
  }

  /** One at a time: the next exchange begins when this one was served. The handler reports its own failures. */
  readonly #served = (): void => {
    const exchange = this.#exchange;
    if (exchange === null) return;
    if (!exchange.ended) exchange.abort();
    if (this.#phase === 'exchange') this.#next();
  };

  #next(): void {
    this.#exchange = null;
    this.#content = null;
    this.#phase = 'head';
    this.deadline.set(this.#intake.idle ? this.#limits.keepAliveMs : this.#limits.headMs);
    if (!this.#intake.idle) this.#take(this.#intake.read());
    else if (this.#inputEnded) this.#close();
    if (this.#isOurs() && this.socket.isPaused()) this.socket.resume();
  }

  #isOurs(): boolean {
    return this.#phase !== 'gone';
  }

  #connect(authority: Authority, headBytes: number): void {
    const { onConnect } = this.#options;
    if (onConnect === undefined) {
      this.#fault('method-not-supported', { method: 'CONNECT', target: authorityText(authority), host: '' });
      return;
    }
    this.#phase = 'exchange';
    this.deadline.clear();
    const request = {
      authority,
      headBytes,
      signal: this.signal,
      accept: () => {
        this.socket.write('HTTP/1.1 200 Connection Established\r\n\r\n', 'latin1');
        return this.detach();
      },
      refuse: (status: number, content: Uint8Array) => this.#answerAndClose(status, content, true),
    };
    onConnect(request).then(
      () => this.#phase === 'exchange' && this.socket.destroy(),
      () => this.socket.destroy(),
    );
  }

  readonly #onEnd = (): void => {
    this.#inputEnded = true;
    if (this.#opening !== null) this.socket.destroy();
    else if (this.#phase === 'head') this.#inputCutShort();
    else if (this.#phase === 'exchange' && this.#content !== null) this.#content.end();
    else if (this.#phase === 'exchange') this.deadline.set(this.#limits.halfClosedMs);
  };

  #inputCutShort(): void {
    if (this.#intake.idle) this.#close();
    else this.#take(this.#intake.cutShort(false));
  }

  readonly #onDrain = (): void => this.#writeDeadline?.clear();

  readonly #onClose = (): void => {
    this.#phase = 'gone';
    this.deadline.close();
    this.#writeDeadline?.close();
    this.#break(WENT_AWAY);
    // Node's half of a socket that has closed waits for a full collection, and all that is still listening with it.
    this.#stopListening();
    this.socket.off('close', this.#onClose);
    this.#resolve();
  };

  #stopListening(): void {
    this.socket.off('data', this.#onData).off('end', this.#onEnd).off('drain', this.#onDrain);
  }

  #expired(): void {
    if (this.#phase === 'closing' || this.#opening !== null) this.socket.destroy();
    else if (this.#phase === 'head') this.#headExpired();
    else if (this.#content !== null) this.#fault('slow-content', null);
    else if (this.#inputEnded && this.#exchange?.answering !== true) this.socket.destroy();
  }

  #headExpired(): void {
    if (this.#intake.idle) this.#close();
    else this.#take(this.#intake.cutShort(true));
  }

  /** Answers what is no request, and ends the connection: what follows has no certain beginning. */
  #fault(code: RequestFaultCode, claimed: ClaimedRequest | null): void {
    if (this.#phase === 'closing' || this.#phase === 'gone') return;
    const exchange = this.#exchange;
    const fault = requestFault(code);
    const given = this.#options.onFault({
      ...fault,
      claimed: claimed ?? (exchange === null ? null : claimOf(exchange.request.head)),
      inExchange: exchange !== null,
    });
    this.#phase = 'closing';
    const cannotAnswer = exchange?.answering === true || exchange?.ended === true;
    const cause: RequestFault = { code, status: cannotAnswer ? 0 : fault.status };
    this.#break(new GatewayError('CLIENT_PROTOCOL', `the request is not valid: ${code}`, { cause }));
    if (cannotAnswer) this.socket.destroy();
    else {
      const { status, content } = answerOf(given, fault);
      this.#answerAndClose(status, content, claimed?.method !== 'HEAD');
    }
  }

  #answerAndClose(status: number, content: Uint8Array | null, withContent: boolean): void {
    const body = content ?? NO_BODY;
    const headers = body.length > 0 ? ([['Content-Type', 'application/json']] as const) : NO_HEADERS;
    const framing = { kind: 'length', bytes: body.length } as const;
    const head = emitResponseHead(status, '', headers, framing, 'Connection: close\r\n');
    this.socket.write(withContent ? Buffer.concat([Buffer.from(head, 'latin1'), body]) : head, 'latin1');
    this.#close();
  }

  /** Ends our side, and reads on for a moment: a reset would take the answer from under the sandbox. */
  #close(): void {
    this.#phase = 'closing';
    this.#intake.unread.take();
    this.deadline.set(this.#limits.lingerMs);
    this.socket.end();
    this.socket.resume();
  }

  /** Whoever still works for this connection is told why it stops. */
  #break(error: GatewayError): void {
    this.#gone ??= error;
    this.#exchange?.fail(error);
    this.#content?.fail(error);
    this.#canceller?.abort(this.#gone);
  }

  // What a ServerExchange asks of its line.

  get signal(): CancelSignal {
    if (this.#canceller === null) {
      this.#canceller = new Canceller();
      if (this.#gone !== null) this.#canceller.abort(this.#gone);
    }
    return this.#canceller;
  }

  get mayPersist(): boolean {
    return !this.#inputEnded || this.#intake.unread.length > 0;
  }

  stalled(): void {
    this.#writeDeadline ??= new Deadline(this.#clock, () => this.socket.destroy());
    this.#writeDeadline.set(this.idleMs);
  }

  answered(persists: boolean): void {
    if (!persists && this.#phase === 'exchange') this.#close();
  }

  truncate(closeDelimited: boolean): void {
    // Where the end of the connection is the end of the content, only a reset tells it from a truncation.
    if (closeDelimited && this.socket instanceof Socket && !(this.socket instanceof TLSSocket)) {
      this.socket.resetAndDestroy();
    } else {
      this.socket.destroy();
    }
  }

  detach(): Duplex {
    this.#phase = 'gone';
    this.deadline.close();
    this.#writeDeadline?.close();
    this.#stopListening();
    this.socket.pause();
    const rest = this.#intake.unread.take();
    if (rest.length > 0 && this.socket.readableEnded) this.socket.destroy();
    else if (rest.length > 0) this.socket.unshift(rest);
    this.#resolve();
    return this.socket;
  }

  // What a ContentReader asks of its owner.

  contentDone(rest: Buffer): void {
    this.#content = null;
    if (rest.length > 0) this.#intake.unread.append(rest);
    else this.socket.resume();
  }

  contentFaulty(fault: BodyFault | 'truncated-content'): void {
    this.#fault(fault, null);
  }

  /** The answer does not need the rest. The connection ends with it; until then the rest is read and forgotten. */
  contentAbandoned(): void {
    this.#content = null;
    this.deadline.clear();
    this.socket.resume();
  }

  contentWanted(): void {
    this.#exchange?.invite();
  }
}

/** One for all: where it was made says nothing, and to find that out costs every connection as much as its event. */
const WENT_AWAY = new GatewayError('CLIENT_ABORTED', 'the sandbox went away');

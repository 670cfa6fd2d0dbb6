/** The commands that callers of a control socket have started, by number. Pure but for the streams. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  ErrInvalidConfig,
  ErrVMNotFound,
  type Execution,
  type InteractiveExecution,
  type Machine,
} from '../vm/index.js';
import { type ExecRequest, emitLine, parseExecRequest } from './wire.js';

interface Entry {
  readonly stdin: Writable | null;
  readonly streams: Map<string, Readable>;
  kill(signal: NodeJS.Signals): void;
  resize(rows: number, cols: number): void;
}

interface Answer {
  readonly query: URLSearchParams;
  readonly response: ServerResponse;
}

export class Executions {
  readonly #machine: Machine;
  readonly #entries = new Map<string, Entry>();
  #count = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** `POST exec`: starts one; `POST exec/ID/kill`, `POST exec/ID/resize`. */
  async post(
    rest: readonly string[],
    { query, response }: Answer,
    body: () => Promise<string>,
  ): Promise<void> {
    const [id, verb] = rest;
    if (id === undefined) return await this.#start(parseExecRequest(await body()), response);
    const entry = this.#entry(id);
    if (verb === 'kill') entry.kill(signalOf(query.get('signal')));
    else if (verb === 'resize') entry.resize(countOf(query.get('rows')), countOf(query.get('cols')));
    else throw new ErrVMNotFound(`a command has no ${verb}`);
    response.writeHead(200).end('{}');
  }

  /** One line when it has started, one when it has ended. A caller that hangs up before ends it. */
  async #start(request: ExecRequest, response: ServerResponse): Promise<void> {
    const execution = await this.#execute(request);
    const id = String(++this.#count);
    const { kill, exit, pid } = execution;
    const streams = new Map([['stdout', execution.stdout]]);
    if ('stderr' in execution) streams.set('stderr', execution.stderr);
    const resize = 'resize' in execution ? execution.resize : () => {};
    this.#entries.set(id, { stdin: execution.stdin, streams, kill, resize });
    let ended = false;
    response.once('close', () => {
      if (!ended) kill('SIGKILL');
      for (const stream of streams.values()) stream.destroy();
      this.#entries.delete(id);
    });
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.write(emitLine({ started: { id, pid } }));
    const how = await exit;
    ended = true;
    response.write(emitLine({ exit: how }));
    // The caller reads the streams to their end, and closes.
    await Promise.all([...streams.values()].map(finished));
    response.end();
  }

  async #execute(request: ExecRequest): Promise<Execution | InteractiveExecution> {
    const { command, stdin, interactive, ...options } = request;
    if (interactive) return await this.#machine.execInteractive(command, options);
    return await this.#machine.execStream(command, { ...options, ...(stdin && { stdin: 'pipe' }) });
  }

  /** `GET exec/ID/stdout`, `GET exec/ID/stderr`: once each. */
  async read([id = '', name = '']: readonly string[], response: ServerResponse): Promise<void> {
    const stream = this.#entry(id).streams.get(name);
    if (stream === undefined) throw new ErrVMNotFound(`this command has no ${name}`);
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    response.flushHeaders();
    await pipeline(stream, response);
  }

  /** `PUT exec/ID/stdin`. */
  async write(
    [id = '', name = '']: readonly string[],
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { stdin } = this.#entry(id);
    if (name !== 'stdin' || stdin === null) throw new ErrVMNotFound(`nothing can be written to ${name}`);
    await pipeline(request, stdin).catch(() => {}); // A command that reads no more has seen enough.
    response.writeHead(200).end('{}');
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new ErrVMNotFound(`no command ${id} runs`);
    return entry;
  }
}

async function finished(stream: Readable): Promise<void> {
  if (stream.closed) return;
  await new Promise<void>(resolve => stream.once('close', resolve));
}

const SIGNAL = /^SIG[A-Z0-9]{1,10}$/;

function signalOf(text: string | null): NodeJS.Signals {
  if (text !== null && SIGNAL.test(text)) return text as NodeJS.Signals;
  throw new ErrInvalidConfig('a signal has a name, as SIGTERM');
}

function countOf(text: string | null): number {
  const count = Number(text);
  if (Number.isInteger(count) && count > 0 && count <= 10_000) return count;
  throw new ErrInvalidConfig('a terminal has 1 to 10000 rows and columns');
}

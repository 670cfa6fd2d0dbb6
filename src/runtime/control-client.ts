/** The caller's side of a control socket (shell: connects). */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { PassThrough, Readable, type Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { errorCode } from '../core/errors.js';
import type { Event } from '../events/event.js';
import { parseEvent } from '../events/parse.js';
import {
  ErrFileFailed,
  ErrVMNotRunning,
  ErrVMUnreachable,
  type ExecExit,
  type ExecOptions,
  type Execution,
  type FileContent,
  type InteractiveExecution,
  type InteractiveOptions,
} from '../vm/index.js';
import { socketPath } from './socket-path.js';
import {
  type ExecLine,
  type ExecRequest,
  emitExecRequest,
  parseError,
  parseLine,
  requestOf,
} from './wire.js';

type Query = Readonly<Record<string, string | number | undefined>>;

interface Call {
  readonly query?: Query;
  readonly body?: FileContent;
  readonly signal?: AbortSignal | undefined;
}

/** What a command is told that ended with its machine. */
const GONE: ExecExit = { exitCode: 137, signal: 'SIGKILL', timedOut: false, durationMs: 0 };

export class ControlClient {
  readonly #socket: string;
  readonly #open = new Set<ClientRequest>();

  constructor(socket: string) {
    this.#socket = socket;
  }

  /** Hangs up on everything: commands that run for this caller end. */
  close(): void {
    for (const request of this.#open) request.destroy();
  }

  async json<T>(method: string, path: string, call: Call = {}): Promise<T> {
    return parseLine(await text(await this.call(method, path, call))) as T;
  }

  /** The answer's content. Throws what the supervisor says, or `VM_NOT_RUNNING` where there is none. */
  async call(
    method: string,
    path: string,
    { query = {}, body, signal }: Call = {},
  ): Promise<IncomingMessage> {
    const { request, answer } = this.#begin(method, path, query, signal);
    if (body instanceof Readable) {
      // A failing source hangs up, so that the other side does not take half of it for the whole.
      pipeline(body, request).catch(() => request.destroy());
    } else request.end(body);
    return await answer;
  }

  #begin(
    method: string,
    path: string,
    query: Query,
    signal?: AbortSignal,
  ): { readonly request: ClientRequest; readonly answer: Promise<IncomingMessage> } {
    signal?.throwIfAborted();
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const search = new URLSearchParams(
      given.map(([name, value]) => [name, String(value)] as [string, string]),
    );
    const { path: socket, release } = socketPath(this.#socket);
    const request = httpRequest({
      socketPath: socket,
      method,
      path: `/v1/${path}?${search}`,
      agent: false,
      ...(signal !== undefined && { signal }),
    });
    this.#open.add(request);
    request.once('close', () => this.#open.delete(request));
    request.once('socket', connection => connection.once('connect', release).once('close', release));
    const answer = new Promise<IncomingMessage>((resolve, reject) => {
      request.on('error', error => reject(signal?.aborted === true ? signal.reason : unreachable(error)));
      request.once('response', response => {
        if (response.statusCode === 200) resolve(response);
        else text(response).then(said => reject(parseError(said)), reject);
      });
    });
    return { request, answer };
  }

  async execStream(command: string, options: ExecOptions): Promise<Execution> {
    const started = await this.#exec(requestOf(command, options, false), options);
    const [stdout, stderr] = await Promise.all([started.read('stdout'), started.read('stderr')]);
    return { ...started.base, stdin: started.stdin(options.stdin), stdout, stderr };
  }

  async execInteractive(command: string, options: InteractiveOptions): Promise<InteractiveExecution> {
    const { rows, cols } = options;
    const size = { ...(rows !== undefined && { rows }), ...(cols !== undefined && { cols }) };
    const started = await this.#exec(
      { ...requestOf(command, { ...options, stdin: 'pipe' }, true), ...size },
      options,
    );
    const stdout = await started.read('stdout');
    const stdin = started.stdin('pipe') as Writable;
    return { ...started.base, stdin, stdout, resize: (rows, cols) => started.tell('resize', { rows, cols }) };
  }

  async #exec(request: ExecRequest, { signal }: Pick<ExecOptions, 'signal'>): Promise<Started> {
    const response = await this.call('POST', 'exec', { body: emitExecRequest(request), signal });
    const lines = createInterface({ input: response })[Symbol.asyncIterator]();
    const first = await lineOf(lines);
    if (first === null || !('started' in first))
      throw new ErrVMUnreachable('the command’s start was not told');
    const { id, pid } = first.started;
    const exit = lineOf(lines).then(last => (last !== null && 'exit' in last ? last.exit : GONE));
    const tell = (verb: string, query: Query): void => {
      this.call('POST', `exec/${id}/${verb}`, { query }).then(
        answer => answer.resume(),
        () => {}, // It has ended, and its exit says how.
      );
    };
    return {
      base: { pid, exit, kill: (name = 'SIGTERM') => tell('kill', { signal: name }) },
      tell,
      read: async name => await this.call('GET', `exec/${id}/${name}`),
      stdin: given => this.#stdin(id, given),
    };
  }

  #stdin(id: string, given: ExecOptions['stdin']): Writable | null {
    if (given === undefined) return null;
    const put = (body: FileContent): void => {
      // What the command does not read is no failure of ours: its exit tells.
      this.call('PUT', `exec/${id}/stdin`, { body }).then(
        answer => answer.resume(),
        () => {},
      );
    };
    if (given !== 'pipe') {
      put(given);
      return null;
    }
    const typed = new PassThrough();
    typed.on('error', () => {}); // The same.
    put(typed);
    return typed;
  }

  /** Every event after `seq`; without one, those from now on. Ends with the sandbox, or with `signal`. */
  async *events(after: number | undefined, signal?: AbortSignal): AsyncGenerator<Event> {
    const response = await this.call('GET', 'events', { query: { after }, signal });
    try {
      for await (const line of createInterface({ input: response })) {
        const event = parseEvent(line);
        if (event.ok) yield event.value;
      }
    } catch (error) {
      if (signal?.aborted !== true) throw unreachable(error);
    } finally {
      response.destroy();
    }
  }

  /** The file's bytes; one that breaks off is an error. */
  async readFileStream(path: string): Promise<Readable> {
    const response = await this.call('GET', 'files', { query: { path } });
    return Readable.from(wholeOf(response, path), { objectMode: false });
  }
}

interface Started {
  readonly base: Pick<Execution, 'pid' | 'exit' | 'kill'>;
  tell(verb: string, query: Query): void;
  read(name: string): Promise<Readable>;
  stdin(given: ExecOptions['stdin']): Writable | null;
}

async function* wholeOf(response: IncomingMessage, path: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of response) yield chunk as Buffer;
  } catch (cause) {
    throw new ErrFileFailed(`${path}: reading it broke off`, { cause });
  }
}

async function lineOf(lines: AsyncIterator<string>): Promise<ExecLine | null> {
  try {
    const next = await lines.next();
    return next.done === true ? null : (parseLine(next.value) as ExecLine);
  } catch {
    return null; // The connection broke: the machine is gone, and its commands with it.
  }
}

/** No socket, or nobody behind it: no supervisor, so nothing runs. */
const NOBODY = new Set(['ENOENT', 'ECONNREFUSED']);

function unreachable(cause: unknown): Error {
  if (NOBODY.has(errorCode(cause))) return new ErrVMNotRunning('the sandbox does not run');
  return new ErrVMUnreachable(`the sandbox's supervisor does not answer (${errorCode(cause)})`, { cause });
}

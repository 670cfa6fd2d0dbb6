/**
 * Which events a reader wants: an expression of CEL, the Common Expression Language (https://cel.dev), compiled once.
 *
 * Pure. `event`, `network`, `exec`, `file`, `body` and `gateway` have the fields of the event log; what an event lacks is empty, so
 * that no expression fails on one. A refusal passes whatever the expression says, unless it speaks of `denied`.
 */
import {
  type ASTNode,
  Environment,
  EvaluationError,
  ParseError,
  TypeError as TypeFault,
} from '@marcbachmann/cel-js';
import { err, ok, type Result } from '../core/result.js';
import { isDenial } from './denial.js';
import { printable } from './encode.js';
import type { Event, Timings } from './event.js';

export type EventFilter = (event: Event) => boolean;

export interface FilterFault {
  /** From 1, in the text of the expression. */
  readonly column: number;
  readonly message: string;
}

/** Longest expression, in UTF-16 code units. */
const MAX_EXPRESSION = 4_096;

const LIMITS = {
  maxAstNodes: 512,
  maxDepth: 32,
  maxListElements: 256,
  maxMapEntries: 64,
  maxCallArguments: 8,
};

/** `network.host.endsWith(".example.com") && network.status_code >= 400` */
export function compileFilter(expression: string): Result<EventFilter, FilterFault> {
  if (expression.length > MAX_EXPRESSION) {
    return err({ column: 1, message: `is longer than ${MAX_EXPRESSION} characters` });
  }
  try {
    const program = ENVIRONMENT.parse(expression);
    const checked = program.check();
    if (!checked.valid) return err(faultOf(checked.error));
    if (checked.type !== 'bool') {
      return err({ column: 1, message: `gives ${checked.type ?? 'nothing'}, and must say true or false` });
    }
    const foreign = find(program.ast.toOldStructure(), isPatternCall);
    if (foreign) return err({ column: 1 + expression.indexOf('matches'), message: NO_PATTERNS });
    const spared = !find(program.ast.toOldStructure(), isDenied);
    return ok(event => {
      const denied = isDenial(event);
      return (spared && denied) || passes(program, event, denied);
    });
  } catch (error) {
    return err(faultOf(error));
  }
}

/** A search that goes back over a stranger's text can take for ever. */
const NO_PATTERNS = 'matches() is not offered: use contains(), startsWith() or endsWith()';

interface Program {
  (context: Record<string, unknown>): unknown;
  readonly ast: ASTNode;
}

function passes(program: Program, event: Event, denied: boolean): boolean {
  try {
    return (
      program({
        event: new EventView(event),
        network: new NetworkView(event),
        exec: new ExecView(event),
        file: new FileView(event),
        body: new BodyView(event),
        gateway: new GatewayView(event),
        denied,
      }) === true
    );
  } catch {
    // An expression that fails on an event (a division by zero) says nothing about it: it is rather told than lost.
    return true;
  }
}

class EventView {
  readonly #event: Event;

  constructor(event: Event) {
    this.#event = event;
  }

  get version(): bigint {
    return BigInt(this.#event.version);
  }

  get id(): string {
    return this.#event.id;
  }

  get gateway_id(): string {
    return this.#event.gateway_id;
  }

  get type(): string {
    return this.#event.type;
  }

  get sandbox(): string {
    return this.#event.sandbox ?? '';
  }

  get seq(): bigint {
    return BigInt(this.#event.seq);
  }

  get timestamp(): number {
    return this.#event.timestamp;
  }
}

/** The fields of the type as CEL knows them; the class gives each, and a test holds the two equal. */
const NETWORK_FIELDS = {
  layer: 'string',
  decision: 'string',
  flow: 'string',
  request: 'string',
  method: 'string',
  url: 'string',
  host: 'string',
  port: 'int',
  status_code: 'int',
  request_bytes: 'int',
  response_bytes: 'int',
  duration_ms: 'double',
  blocked: 'bool',
  block_reason: 'string',
  reason: 'string',
  rule: 'string',
  destination: 'string',
  protocol: 'string',
  secrets: 'list<string>',
  generation: 'int',
  timings: 'Timings',
  would_deny: 'string',
  location: 'string',
  traceparent: 'string',
  annotations: 'list<string>',
} as const;

type FieldOf = keyof typeof NETWORK_FIELDS;

const EMPTY = {
  string: '',
  int: 0n,
  double: 0,
  bool: false,
  'list<string>': [] as readonly string[],
  Timings: null,
} as const;

/** A phase that did not happen took no time. */
class TimingsView {
  readonly dns_ms: number;
  readonly connect_ms: number;
  readonly tls_ms: number;
  readonly first_byte_ms: number;
  readonly total_ms: number;

  constructor({ network }: Event) {
    const { dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms } = network?.timings ?? NO_TIMINGS;
    this.dns_ms = dns_ms ?? 0;
    this.connect_ms = connect_ms ?? 0;
    this.tls_ms = tls_ms ?? 0;
    this.first_byte_ms = first_byte_ms ?? 0;
    this.total_ms = total_ms;
  }
}

const NO_TIMINGS: Timings = { dns_ms: 0, connect_ms: 0, tls_ms: 0, first_byte_ms: 0, total_ms: 0 };

class NetworkView {
  readonly #event: Event;

  constructor(event: Event) {
    this.#event = event;
  }

  field(name: FieldOf): unknown {
    if (name === 'timings') return new TimingsView(this.#event);
    const value = this.#event.network?.[name];
    const kind = NETWORK_FIELDS[name];
    if (value === null || value === undefined) return EMPTY[kind];
    return kind === 'int' ? BigInt(Math.trunc(Number(value))) : value;
  }
}

// A getter for each field, so that an event costs only the fields that the expression reads.
for (const name of Object.keys(NETWORK_FIELDS) as FieldOf[]) {
  Object.defineProperty(NetworkView.prototype, name, {
    get(this: NetworkView): unknown {
      return this.field(name);
    },
  });
}

class ExecView {
  readonly command: readonly string[];
  readonly exit_code: bigint;
  readonly duration_ms: number;

  constructor({ exec }: Event) {
    this.command = exec?.command ?? [];
    this.exit_code = BigInt(exec?.exit_code ?? 0);
    this.duration_ms = exec?.duration_ms ?? 0;
  }
}

class FileView {
  readonly op: string;
  readonly path: string;
  readonly size: bigint;
  readonly mode: bigint;

  constructor({ file }: Event) {
    this.op = file?.op ?? '';
    this.path = file?.path ?? '';
    this.size = BigInt(file?.size ?? 0);
    this.mode = BigInt(file?.mode ?? 0);
  }
}

class BodyView {
  readonly flow: string;
  readonly request: string;
  readonly side: string;
  readonly mime_type: string;
  readonly size: bigint;
  readonly encoding: string;
  readonly text: string;
  readonly truncated: boolean;

  constructor({ body }: Event) {
    this.flow = body?.flow ?? '';
    this.request = body?.request ?? '';
    this.side = body?.side ?? '';
    this.mime_type = body?.mime_type ?? '';
    this.size = BigInt(body?.size ?? 0);
    this.encoding = body?.encoding ?? '';
    this.text = body?.text ?? '';
    this.truncated = body?.truncated ?? false;
  }
}

class GatewayView {
  readonly message: string;
  readonly detail: readonly string[];

  constructor({ gateway }: Event) {
    this.message = gateway?.message ?? '';
    this.detail = gateway?.detail ?? [];
  }
}

const ENVIRONMENT = new Environment({ limits: LIMITS })
  .registerType('Event', {
    ctor: EventView,
    fields: {
      version: 'int',
      id: 'string',
      type: 'string',
      timestamp: 'double',
      seq: 'int',
      gateway_id: 'string',
      sandbox: 'string',
    },
  })
  .registerType('Timings', {
    ctor: TimingsView,
    fields: {
      dns_ms: 'double',
      connect_ms: 'double',
      tls_ms: 'double',
      first_byte_ms: 'double',
      total_ms: 'double',
    },
  })
  .registerType('Network', { ctor: NetworkView, fields: NETWORK_FIELDS })
  .registerType('Exec', {
    ctor: ExecView,
    fields: { command: 'list<string>', exit_code: 'int', duration_ms: 'double' },
  })
  .registerType('File', {
    ctor: FileView,
    fields: { op: 'string', path: 'string', size: 'int', mode: 'int' },
  })
  .registerType('Body', {
    ctor: BodyView,
    fields: {
      flow: 'string',
      request: 'string',
      side: 'string',
      mime_type: 'string',
      size: 'int',
      encoding: 'string',
      text: 'string',
      truncated: 'bool',
    },
  })
  .registerType('Gateway', { ctor: GatewayView, fields: { message: 'string', detail: 'list<string>' } })
  .registerVariable('event', 'Event')
  .registerVariable('network', 'Network')
  .registerVariable('exec', 'Exec')
  .registerVariable('file', 'File')
  .registerVariable('body', 'Body')
  .registerVariable('gateway', 'Gateway')
  .registerVariable('denied', 'bool');

function faultOf(error: unknown): FilterFault {
  if (error instanceof ParseError || error instanceof EvaluationError || error instanceof TypeFault) {
    return { column: (error.range?.start ?? 0) + 1, message: printable(error.summary) };
  }
  return { column: 1, message: 'cannot be read' };
}

/** The library's tuples: an operator and its operands. */
function find(node: unknown, wanted: (tuple: readonly unknown[]) => boolean): boolean {
  if (!Array.isArray(node)) return false;
  return wanted(node) || node.some(child => find(child, wanted));
}

function isDenied([operator, name]: readonly unknown[]): boolean {
  return operator === 'id' && name === 'denied';
}

function isPatternCall([operator, name]: readonly unknown[]): boolean {
  return (operator === 'call' || operator === 'rcall') && name === 'matches';
}

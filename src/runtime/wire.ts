/** What goes over a control socket, as values and as JSON. Pure. `docs/reference/sandbox-api.md` has the routes. */
import { z } from 'zod';
import { errorCode, GatewayError, type GatewayErrorCode } from '../core/errors.js';
import type { ExecExit, ExecOptions } from '../vm/index.js';
import { ErrInvalidConfig } from '../vm/index.js';
import { toCamel, toSnake } from './codec.js';

/** A command to start; its streams are requests of their own. */
export interface ExecRequest {
  readonly command: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly workingDir?: string;
  readonly user?: string;
  readonly timeoutMs?: number;
  /** Something will be written to it. */
  readonly stdin: boolean;
  readonly tty: boolean;
  readonly interactive: boolean;
  readonly rows?: number;
  readonly cols?: number;
}

const execRequest = z.strictObject({
  command: z.string(),
  args: z.array(z.string()).optional(),
  env: z.record(z.string(), z.string()).optional(),
  working_dir: z.string().startsWith('/').optional(),
  user: z.string().optional(),
  timeout_ms: z.number().min(0).optional(),
  stdin: z.boolean(),
  tty: z.boolean(),
  interactive: z.boolean(),
  rows: z.int().min(1).max(10_000).optional(),
  cols: z.int().min(1).max(10_000).optional(),
});

export function emitExecRequest(request: ExecRequest): string {
  return JSON.stringify(toSnake(request));
}

export function parseExecRequest(text: string): ExecRequest {
  const parsed = execRequest.safeParse(parseJson(text));
  if (!parsed.success) throw new ErrInvalidConfig(`a command: ${parsed.error.message}`);
  return toCamel(parsed.data) as ExecRequest;
}

export function requestOf(command: string, options: ExecOptions, interactive: boolean): ExecRequest {
  const { args, env, workingDir, user, timeoutMs, tty = false } = options;
  return {
    command,
    ...(args !== undefined && { args }),
    ...(env !== undefined && { env }),
    ...(workingDir !== undefined && { workingDir }),
    ...(user !== undefined && { user }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    stdin: options.stdin !== undefined,
    tty,
    interactive,
  };
}

/** A line of the answer to a command: first that it started, last how it ended. */
export type ExecLine =
  | { readonly started: { readonly id: string; readonly pid: number | null } }
  | { readonly exit: ExecExit };

export function emitLine(line: unknown): string {
  return `${JSON.stringify(toSnake(line))}\n`;
}

export function parseLine(text: string): unknown {
  return toCamel(parseJson(text));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ErrInvalidConfig('what came over the control socket is no JSON', { cause });
  }
}

/** An error as the other side may know it: what is not ours may hold anything. */
export function emitError(error: unknown): string {
  const known = error instanceof GatewayError || isNamed(error);
  const message = known
    ? error.message
    : `something failed in the sandbox's supervisor (${errorCode(error)})`;
  return JSON.stringify({ code: known ? errorCode(error) : 'VM_UNREACHABLE', message });
}

function isNamed(error: unknown): error is Error {
  return error instanceof Error && /^[A-Z][A-Z_]+$/.test(errorCode(error)) && error.name === 'GatewayError';
}

export function parseError(text: string): GatewayError {
  const value = parseJson(text) as { readonly code?: unknown; readonly message?: unknown };
  const code = typeof value.code === 'string' ? value.code : 'VM_UNREACHABLE';
  return new GatewayError(code as GatewayErrorCode, String(value.message ?? 'no reason was given'));
}

/**
 * A script from its file, read and evaluated once: what does not load refuses the configuration, with its place in the
 * operator's own text.
 */
import { basename, dirname } from 'node:path';
import { err, ok, type Result } from '../core/result.js';
import { HOOKS, SCRIPT_LIMITS, type ScriptLimits } from '../policy/hooks.js';
import { type ExampleStep, stepsOf } from './examples.js';
import { type LoadProblem, problemLine } from './modules.js';
import type { ScriptPool } from './pool.js';
import { type LoadedScript, OPEN_MS } from './sandbox-script.js';

/** The first load reads files, and may have to load what strips types. */
const FIRST_OPEN_MS = 5_000;

/** The error is one line: `folder/policy.ts:3:7: message`. */
export async function loadScript(
  path: string,
  limits: ScriptLimits,
  pool: ScriptPool,
): Promise<Result<LoadedScript, string>> {
  const cell = pool.newCell();
  const thread = pool.take(cell);
  const { memoryMb } = limits;
  const reply = await thread.send(
    { kind: 'open', cell, memoryMb, entry: '', path, state: '{}' },
    FIRST_OPEN_MS,
  );
  if (thread.alive) await thread.send({ kind: 'close', cell }, OPEN_MS);
  pool.leave(thread, cell);
  if (reply.kind === 'refused') return err(problemLine(dirname(path), reply.problem));
  const entry = basename(path);
  if (reply.kind !== 'opened') {
    const why = reply.kind === 'lost' ? `${reply.message} while it was loaded` : 'does not load';
    return err(problemLine(dirname(path), problem(entry, why)));
  }
  const { hooks, sources } = reply;
  if (hooks.length === 0) {
    return err(problemLine(dirname(path), problem(entry, `exports none of ${HOOKS.join(', ')}`)));
  }
  return ok({ path, entry, sources, hooks, limits });
}

/** What the file of examples at `path` asks for. The error is one line, as that of `loadScript`. */
export async function loadExamples(
  path: string,
  pool: ScriptPool,
): Promise<Result<readonly ExampleStep[], string>> {
  const cell = pool.newCell();
  const thread = pool.take(cell);
  const open = { kind: 'open', cell, memoryMb: SCRIPT_LIMITS.memoryMb, entry: '', path } as const;
  const opened = await thread.send({ ...open, state: '{}', examples: true }, FIRST_OPEN_MS);
  const noted = opened.kind === 'opened' ? await thread.send({ kind: 'examples', cell }, OPEN_MS) : opened;
  if (thread.alive) await thread.send({ kind: 'close', cell }, OPEN_MS);
  pool.leave(thread, cell);
  if (noted.kind === 'answered') return ok(stepsOf(noted.answer));
  if (noted.kind === 'refused') return err(problemLine(dirname(path), noted.problem));
  const why = noted.kind === 'lost' ? noted.message : 'does not load';
  return err(problemLine(dirname(path), problem(basename(path), why)));
}

function problem(file: string, message: string): LoadProblem {
  return { file, line: 0, column: 0, message };
}

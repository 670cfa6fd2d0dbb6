/** `sallyport script test|run`: a policy script against its examples, or against what was recorded (shell: files). */
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Clock, systemClock } from '../core/clock.js';
import { errorCode } from '../core/errors.js';
import type { Result } from '../core/result.js';
import { err } from '../core/result.js';
import {
  HOOKS,
  type PolicyScript,
  type RequestAnswer,
  type RequestFacts,
  SCRIPT_LIMITS,
} from '../policy/hooks.js';
import type { ScriptSpec } from '../policy/policy.js';
import { rewrittenHead, synthetic } from '../proxy/scripted/rewrite.js';
import {
  type AnyAnswer,
  EXAMPLE_TIME,
  type ExampleStep,
  factsOfStep,
  stepPlace,
  unexpected,
} from '../script/examples.js';
import { loadExamples, loadScript } from '../script/load.js';
import { ScriptPool } from '../script/pool.js';
import { changeText, type Replayed, replayOf } from '../script/replay.js';
import { type LoadedScript, SandboxScript } from '../script/sandbox-script.js';
import { quickjsCode } from '../script/thread.js';
import { EXIT_USAGE, type Io } from './io.js';

/** A person waits for the result, not a request: a busy machine is no failure. */
const PATIENT = { ...SCRIPT_LIMITS, timeoutMs: 2_000 };

/** Exit code 0: every example is as it says; 1: some are not; 2: the script or its examples do not load. */
export async function runScriptTest(path: string, io: Io): Promise<number> {
  return await withScript(path, io, async (script, pool) => {
    const files = await exampleFiles(path);
    if (files.length === 0) {
      io.stderr(`${path}: there is no ${testName(path)} beside it, nor any other *.test.js\n`);
      return EXIT_USAGE;
    }
    let failures = 0;
    for (const file of files) {
      const steps = await loadExamples(file, pool);
      if (!steps.ok) {
        io.stderr(`${steps.error}\n`);
        return EXIT_USAGE;
      }
      failures += await runExamples(steps.value, script, pool, io, file);
    }
    return failures === 0 ? 0 : 1;
  });
}

async function withScript(
  path: string,
  io: Io,
  work: (script: LoadedScript, pool: ScriptPool) => Promise<number>,
): Promise<number> {
  const pool = new ScriptPool(await quickjsCode());
  try {
    const script = await loadScript(path, PATIENT, pool);
    if (script.ok) return await work(script.value, pool);
    io.stderr(`${script.error}\n`);
    return EXIT_USAGE;
  } finally {
    await pool.close();
  }
}

/** Why the script of a policy does not load, as one line; null: it does. */
export async function scriptProblem(spec: ScriptSpec): Promise<string | null> {
  const pool = new ScriptPool(await quickjsCode());
  const script = await loadScript(spec.path, spec, pool);
  await pool.close();
  return script.ok ? null : script.error;
}

function testName(path: string): string {
  return basename(path).replace(/\.(m?[jt]s)$/, '.test.$1');
}

/** The one that is named after the script; else all that lie beside it. */
async function exampleFiles(path: string): Promise<readonly string[]> {
  const folder = dirname(path);
  const names = await readdir(folder);
  const base = basename(path).replace(/\.m?[jt]s$/, '');
  const own = names.filter(name => name.startsWith(`${base}.test.`) && /\.m?[jt]s$/.test(name));
  const all = own.length > 0 ? own : names.filter(name => /\.test\.m?[jt]s$/.test(name));
  return all.sort().map(name => join(folder, name));
}

async function runExamples(
  steps: readonly ExampleStep[],
  script: LoadedScript,
  pool: ScriptPool,
  io: Io,
  file: string,
): Promise<number> {
  let failures = 0;
  let nowMs = EXAMPLE_TIME;
  const clock: Clock = { now: () => nowMs, monotonic: systemClock.monotonic };
  const onLog = (lines: readonly string[]): void => lines.forEach(line => void io.stdout(`  log: ${line}\n`));
  let sandbox: SandboxScript | null = null;
  for (const step of steps) {
    if (step.fresh || sandbox === null) {
      sandbox?.close();
      sandbox = new SandboxScript({ script, pool, clock, onLog });
    }
    nowMs = step.at ?? EXAMPLE_TIME;
    const problem = await runStep(step, sandbox.hooks);
    if (problem === null) continue;
    failures += 1;
    io.stderr(`${join(dirname(file), stepPlace(step))}: ${step.hook}: ${problem}\n`);
  }
  sandbox?.close();
  io.stdout(`${file}: ${steps.length - failures} of ${steps.length} examples as expected\n`);
  return failures;
}

async function runStep(step: ExampleStep, hooks: PolicyScript): Promise<string | null> {
  const facts = factsOfStep(step);
  if (!facts.ok) return facts.error;
  const answer = await askHook(step.hook, facts.value, hooks);
  return answer.ok ? unexpected(step.expect, answer.value) : answer.error;
}

async function askHook(
  name: keyof PolicyScript,
  facts: object,
  hooks: PolicyScript,
): Promise<Result<AnyAnswer, string>> {
  const hook = hooks[name] as ((facts: object) => Promise<AnyAnswer>) | null;
  if (hook === null) return err(`the script does not define ${name}`);
  const answer = await hook(facts);
  const checked = name === 'onRequest' ? sendable(answer as RequestAnswer, facts as RequestFacts) : answer;
  return { ok: true, value: checked };
}

/** What could not be sent fails here as it would there. */
function sendable(answer: RequestAnswer, { path, query, headers, method }: RequestFacts): AnyAnswer {
  const target = query === '' ? path : `${path}?${query}`;
  const made =
    answer.kind === 'rewrite'
      ? rewrittenHead({ path: target, headers }, answer)
      : answer.kind === 'respond'
        ? synthetic(answer, method)
        : null;
  if (made === null || made.ok) return answer;
  return { kind: 'deny', code: 'script-error', reason: `onRequest ${made.error}` };
}

/** Exit code 0: replayed; 2: the script or the log cannot be read. */
export async function runScriptReplay(path: string, log: string, io: Io): Promise<number> {
  return await withScript(path, io, async (script, pool) => {
    let nowMs = 0;
    const clock: Clock = { now: () => nowMs, monotonic: systemClock.monotonic };
    const sandboxes = new Map<string, SandboxScript>();
    const hooksOf = (id: string): PolicyScript => {
      const known = sandboxes.get(id) ?? new SandboxScript({ script, pool, clock, onLog: () => undefined });
      sandboxes.set(id, known);
      return known.hooks;
    };
    const tally = { events: 0, asked: 0, changed: 0 };
    try {
      for await (const line of createInterface({ input: createReadStream(log) })) {
        tally.events += 1;
        for (const replayed of replayOf(line)) {
          const hooks = hooksOf(replayed.sandbox);
          if (hooks[replayed.hook] === null) continue;
          nowMs = replayed.timestamp;
          tally.asked += 1;
          const change = await changeOf(replayed, hooks);
          if (change === null) continue;
          tally.changed += 1;
          io.stdout(`${change}\n`);
        }
      }
    } catch (error) {
      io.stderr(`${log}: cannot be read (${errorCode(error)})\n`);
      return EXIT_USAGE;
    }
    io.stdout(
      `${tally.events} events, ${tally.asked} asked about, ${tally.changed} would come out otherwise\n`,
    );
    const unseen = HOOKS.filter(hook => hook === 'onMessage' && script.hooks.includes(hook));
    if (unseen.length > 0) io.stdout('messages are not recorded: onMessage was not asked\n');
    return 0;
  });
}

async function changeOf(replayed: Replayed, hooks: PolicyScript): Promise<string | null> {
  const answer = await askHook(replayed.hook, replayed.facts, hooks);
  return answer.ok ? changeText(replayed, answer.value) : answer.error;
}

/**
 * What holds a sandbox of processes to its limits: a control group of its own where we may make one, the limits of each
 * process where not (shell: makes and removes groups).
 */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode } from '../../core/errors.js';
import { findProgram, type Tools } from '../../net/vestibule/index.js';
import type { Limits } from '../command.js';
import { ErrVMStartFailed } from '../errors.js';
import { readHostText } from './host.js';
import {
  type Controller,
  controllersFor,
  groupFiles,
  JOIN_GROUPS,
  limitsText,
  type Place,
  placesOf,
  rlimitArgs,
} from './limits.js';

/** Holds every process that is started through it, and what those start. */
export interface Confinement {
  /** What goes before all programs: it joins the groups. */
  readonly groups: readonly string[];
  /**
   * What goes before a program in the sandbox's user namespace. Before that is made, the kernel would hold the number of
   * processes against all that the user has on this host.
   */
  readonly rlimits: readonly string[];
  /** What holds, one sentence. */
  readonly text: string;
  readonly isWhole: boolean;
  /** Kills what is left in it, and removes it. Idempotent. */
  close(): Promise<void>;
}

/**
 * Throws `VM_START_FAILED` where a limit can be held by nothing that is here. `noted`: the file that tells a successor
 * which groups a killed one left.
 */
export async function confine(
  name: string,
  limits: Limits,
  tools: Tools,
  noted: string | null = null,
): Promise<Confinement> {
  const groups = await makeGroups(name, limits);
  const held = new Set(groups.flatMap(({ controllers }) => controllers));
  const folders = groups.map(({ folder }) => folder);
  try {
    if (noted !== null && folders.length > 0) await writeFile(noted, folders.join('\n'));
    const rest: Limits = {
      memoryBytes: held.has('memory') ? null : limits.memoryBytes,
      cpus: null,
      pids: held.has('pids') ? null : limits.pids,
    };
    const files = folders.map(folder => join(folder, 'cgroup.procs'));
    const join_ = files.length === 0 ? [] : [tools.sh, '-c', JOIN_GROUPS, 'sh', `${files.length}`, ...files];
    const isRoot = process.getuid?.() === 0;
    return {
      groups: join_,
      rlimits: prlimit(rlimitArgs(rest)),
      text: limitsText(limits, held, isRoot),
      isWhole: controllersFor(limits).every(controller => held.has(controller)),
      close: () => removeGroups(folders),
    };
  } catch (error) {
    await removeGroups(folders);
    throw error;
  }
}

function prlimit(args: readonly string[]): readonly string[] {
  if (args.length === 0) return [];
  const program = findProgram('prlimit');
  if (program === null) throw new ErrVMStartFailed('limits need prlimit, which comes with util-linux');
  return [program, ...args, '--'];
}

interface Group {
  readonly folder: string;
  readonly controllers: readonly Controller[];
}

async function makeGroups(name: string, limits: Limits): Promise<readonly Group[]> {
  const wanted = controllersFor(limits);
  if (wanted.length === 0) return [];
  const places = placesOf(
    readHostText('/proc/self/cgroup') ?? '',
    readHostText('/proc/self/mountinfo') ?? '',
  );
  const groups: Group[] = [];
  for (const place of places) {
    const left = wanted.filter(
      controller =>
        place.controllers.includes(controller) &&
        !groups.some(group => group.controllers.includes(controller)),
    );
    const group = left.length === 0 ? null : await makeGroup(name, limits, { ...place, controllers: left });
    if (group !== null) groups.push(group);
  }
  return groups;
}

/** Null where it is not ours to make, or lacks what is wanted. */
async function makeGroup(name: string, limits: Limits, place: Place): Promise<Group | null> {
  for (const parent of place.parents) {
    const controllers = place.version === 1 ? place.controllers : givenBy(parent, place.controllers);
    const folder = join(parent, name);
    if (controllers.length === 0 || !(await made(folder))) continue;
    const files = groupFiles({ ...place, controllers }, limits);
    const written = files.map(({ name: file, text, optional }) => put(join(folder, file), text) || optional);
    if (written.every(Boolean) && mayJoin(parent)) return { folder, controllers };
    await removeGroups([folder]);
  }
  return null;
}

/** Of version 2: the controllers that a group gives to those below it. */
function givenBy(parent: string, wanted: readonly Controller[]): readonly Controller[] {
  const given = (readHostText(join(parent, 'cgroup.subtree_control')) ?? '').split(/\s+/);
  return wanted.filter(name => given.includes(name));
}

/** Whoever moves a process writes to the group above both of its places too. */
function mayJoin(parent: string): boolean {
  try {
    closeSync(openSync(join(parent, 'cgroup.procs'), 'r+'));
    return true;
  } catch {
    return false; // another user's
  }
}

async function made(folder: string): Promise<boolean> {
  try {
    await mkdir(folder);
    return true;
  } catch {
    return false; // not ours to make, or read-only: another place, or none
  }
}

/** Files of the kernel: neither made nor cut. */
function put(path: string, text: string): boolean {
  try {
    const fd = openSync(path, 'r+');
    try {
      writeSync(fd, text);
    } finally {
      closeSync(fd);
    }
    return true;
  } catch {
    return false; // the kernel has no such limit, or refuses it: told as not held
  }
}

const MIB = 1024 * 1024;

/** What would hold a sandbox's limits here, one sentence, and whether control groups would hold all of them. */
export async function triedLimits(
  tools: Tools,
): Promise<{ readonly isWhole: boolean; readonly text: string }> {
  const limits = { memoryBytes: 512 * MIB, cpus: 1, pids: 1024 };
  const { text, isWhole, close } = await confine(groupName(), limits, tools);
  await close();
  return { isWhole, text };
}

/** Of a group: two sandboxes of one name may run in two homes. */
export function groupName(): string {
  return `sallyport-${randomBytes(8).toString('hex')}`;
}

const LOOK_AGAIN_MS = 20;
const TIMES = 100;

/** Those that are gone already are no failure. */
export async function removeGroups(folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    for (let time = 0; time < TIMES; time++) {
      await killAll(folder);
      const code = await rmdir(folder).then(() => null, errorCode);
      if (code !== 'EBUSY') break;
      await delay(LOOK_AGAIN_MS);
    }
  }
}

async function killAll(folder: string): Promise<void> {
  if (put(join(folder, 'cgroup.kill'), '1')) return;
  const pids = await readFile(join(folder, 'cgroup.procs'), 'utf8').catch(() => '');
  for (const pid of pids
    .split('\n')
    .filter(text => text !== '')
    .map(Number)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended meanwhile, which is what we want.
    }
  }
}

/** What a killed one left, as it was noted. */
export async function removeNotedGroups(noted: string): Promise<void> {
  const text = await readFile(noted, 'utf8').catch(() => '');
  await removeGroups(text.split('\n').filter(folder => /\/sallyport-[^/]+$/.test(folder)));
}

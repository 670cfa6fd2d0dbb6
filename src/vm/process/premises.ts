/**
 * What a machine's first process is started in and with, and what its commands see: the host's own programs, or those
 * of an image.
 * (shell: writes a program into the machine's folder).
 */
import { chmod, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Tools } from '../../net/vestibule/index.js';
import type { VMConfig } from '../backend.js';
import type { DataFile } from '../command.js';
import { DEFAULT_WORKSPACE, type ImageConfig } from '../config.js';
import { ErrVMStartFailed } from '../errors.js';
import { prepareGuest } from '../guest-setup.js';
import { ownIdentity } from './command.js';
import { ownEnclosure } from './enclosure.js';
import { hostFiles, readForeignText, readHostText } from './host.js';
import { type Person, personOf } from './identity.js';
import type { Enclosure } from './join.js';
import { PRIVATE_SETTINGS, planLayout, userMounts } from './layout.js';
import { type Sight, seenAt } from './lookup.js';
import { machineFiles } from './machine-files.js';
import { kernelMounts, type Mount } from './mounts.js';
import { emitEnter, emitHold, type ProgramArch } from './programs.js';
import { prepareRoot, removeTree, rootOf } from './root.js';
import { RootFiles } from './root-files.js';
import { openStage, type Stage } from './stage.js';

export interface Premises {
  readonly enclosure: Enclosure;
  readonly plan: readonly Mount[];
  /** The command that keeps the machine; it says when it is there, then lives until its standard input ends. */
  readonly holder: readonly [string, ...string[]];
  /** What lies over the host's files. */
  readonly files: readonly DataFile[];
  /** Of the host's files, what stays hidden for this alone. */
  readonly hide: readonly string[];
  /** Of every command, its HOME and what it brings of its own aside. */
  readonly env: ReadonlyMap<string, string>;
  readonly workingDir: string;
  /** A command sees an image's programs. */
  readonly ofImage: boolean;
  /** Where `enter` is on the host; null for the host's own programs. */
  readonly enterFile: string | null;
  /** What commands see, from outside; `inside` is a process of the machine. */
  sight(inside: number): Sight;
  /** Who a command is; `user` absent: the image's or, without one, us. Throws `VM_CONFIG_INVALID`. */
  person(user: string | undefined, inside: number): Person;
  /** The root folder on the host. */
  rootfsPath(inside: number | null): string | null;
  readonly notes: readonly string[];
  /** To be called once the first process is there. */
  settle(inside: number): Promise<void>;
  /** To be called when the machine has ended, or did not come up. */
  release(): void;
}

/** Makes the premises of one start. */
export type Premise = (tools: Tools) => Promise<Premises>;

/** Where the first program is laid in the machine. */
const HOLD_FILE = '/run/sallyport/hold';

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Of the host's own programs. Throws `MOUNT_CONFIG_INVALID`, `CONFIG_INVALID`. */
export function hostPremise(config: VMConfig): Premise {
  const workspace = config.vfs.workspace ?? DEFAULT_WORKSPACE;
  const root = rootOf(config.stateDir);
  const layout = planLayout({ root, vfs: config.vfs, hide: config.hide }, hostFiles);
  const { door, persist, imageConfig = {} } = config;
  return async tools => {
    await prepareRoot({ root, layout, workspace, persist });
    return {
      enclosure: door?.cell ?? (await ownEnclosure(tools)),
      plan: layout.plan,
      holder: ['sh', '-c', 'echo ready; exec cat >/dev/null'],
      files: machineFiles(config),
      hide: PRIVATE_SETTINGS,
      env: new Map([
        ['PATH', PATH],
        ...Object.entries(imageConfig.env ?? {}),
        ...config.env,
        ...(door?.trustEnv ?? []),
        ...(door?.secretEnv ?? []),
      ]),
      workingDir: config.workingDir ?? workspace,
      ofImage: false,
      enterFile: null,
      sight: () => ({ plan: layout.plan, host: hostFiles }),
      person: user => personIn(user ?? imageConfig.user, readHostText, { ...ownIdentity(), home: '/root' }),
      rootfsPath: () => root,
      notes: [],
      settle: async () => {},
      release: () => {},
    };
  };
}

/** Of an image, whose root is the folder `tree`. Throws `MOUNT_CONFIG_INVALID`, `CONFIG_INVALID`. */
export function imagePremise(config: VMConfig, tree: string, image: ImageConfig): Premise {
  const mounts = userMounts(config.vfs, config.hide, hostFiles);
  const workspace = config.vfs.workspace ?? DEFAULT_WORKSPACE;
  const { door, persist, stateDir: folder } = config;
  return async tools => {
    const outer = door?.cell ?? (await ownEnclosure(tools));
    const stage = await openStage({ enclosure: outer, folder, lower: tree, persist });
    try {
      const files = new RootFiles(stage.seen);
      await prepareFolders(stage, files, { workspace, persist });
      const env = await prepareGuest({ ...config, imageConfig: image }, files);
      const arch = archOfThisMachine();
      await files.putFiles([{ path: HOLD_FILE, content: emitHold(arch), mode: 0o755 }]);
      const enterFile = join(stage.folder, 'enter');
      await writeProgram(enterFile, emitEnter(arch));
      const placed: Mount[] = [];
      for (const { target, mount, isFile } of mounts) {
        placed.push({
          ...mount,
          target: await (isFile ? files.ensureFile(target) : files.ensureFolder(target)),
        });
      }
      return {
        enclosure: { ...outer, stagePid: stage.pid },
        plan: [
          { kind: 'bind', source: stage.inside, target: '/', writable: true },
          ...kernelMounts(hostFiles),
          ...placed,
        ],
        holder: [HOLD_FILE],
        files: [],
        hide: [],
        env,
        workingDir: config.workingDir ?? image.workingDir ?? workspace,
        ofImage: true,
        enterFile,
        sight: imageSight,
        person: (user, inside) => {
          const read = (path: string): string | null => {
            const real = seenAt(path, imageSight(inside));
            return real === null ? null : readForeignText(real);
          };
          return personIn(user ?? image.user, read, { uid: 0, gid: 0, home: '/root' });
        },
        rootfsPath: inside => (inside === null ? null : `/proc/${inside}/root`),
        notes: notesOf(stage),
        settle: inside => stage.settle(inside),
        release: stage.close,
      };
    } catch (error) {
      stage.close();
      throw error;
    }
  };
}

function imageSight(inside: number): Sight {
  return {
    plan: [{ kind: 'bind', source: `/proc/${inside}/root`, target: '/', writable: true }],
    host: hostFiles,
  };
}

function personIn(user: string | undefined, read: (path: string) => string | null, own: Person): Person {
  return user === undefined || user === '' ? own : personOf(user, read);
}

/** Where the kernel's own are mounted no link may lead elsewhere; what a boot empties of what was kept is empty. */
async function prepareFolders(
  { seen }: Stage,
  files: RootFiles,
  { workspace, persist }: { readonly workspace: string; readonly persist: boolean },
): Promise<void> {
  if (persist) for (const path of ['/run', '/tmp']) await removeTree(`${seen}${path}`);
  for (const path of ['/proc', '/dev', '/sys', '/run', workspace]) await files.ensurePlainFolder(path);
  await files.ensurePlainFolder('/tmp', 0o1777);
}

/** Renamed over the old one, which a process may still be running. */
async function writeProgram(path: string, content: Uint8Array): Promise<void> {
  await writeFile(`${path}.new`, content);
  await chmod(`${path}.new`, 0o700);
  await rename(`${path}.new`, path);
}

function archOfThisMachine(): ProgramArch {
  if (process.arch === 'x64' || process.arch === 'arm64') return process.arch;
  throw new ErrVMStartFailed(`images have no first program for ${process.arch}`);
}

function notesOf({ copied }: Stage): readonly string[] {
  if (copied === null) return [];
  return [
    `the root is a copy of the image, because the kernel refuses an overlay in the state folder: ${copied}`,
  ];
}

/** `sallyport doctor`: what this machine has of what the sandbox needs, and the one command that mends it (shell). */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { release } from 'node:os';
import { promisify } from 'node:util';
import { GatewayError } from '../core/errors.js';
import {
  findPackageManager,
  findProgram,
  findTools,
  installCommand,
  openVestibule,
  PLAIN_PORTS,
  SYSTEM_PATH,
  TOOL_NAMES,
  type ToolName,
  type Vestibule,
} from '../net/vestibule/index.js';
import { startCommand, triedLimits } from '../vm/index.js';
import type { Io } from './io.js';
import { emitTable, type Finding, isFit, isKernelFit, isNodeFit } from './requirements.js';

/** Prints the table. Resolves to the exit code: 0, or 1 when something needed is missing. */
export async function runDoctor(io: Io): Promise<number> {
  const findings = [
    nodeFinding(),
    kernelFinding(),
    ...(await Promise.all(TOOL_NAMES.map(toolFinding))),
    ...(await tried()),
    ...machineFindings(),
  ];
  io.stdout(emitTable(findings));
  return isFit(findings) ? 0 : 1;
}

function nodeFinding(): Finding {
  const version = process.versions.node;
  const fit = isNodeFit(version);
  return finding('node', fit, fit ? version : `${version}; 20.19 or newer is needed`, null);
}

function kernelFinding(): Finding {
  const version = release();
  const fit = process.platform === 'linux' && isKernelFit(version);
  return finding(
    'kernel',
    fit,
    `${process.platform} ${version}${fit ? '' : '; Linux 5.11 or newer is needed'}`,
    null,
  );
}

const run = promisify(execFile);

async function toolFinding(tool: ToolName): Promise<Finding> {
  const file = findProgram(tool);
  const manager = findPackageManager();
  if (file === null && tool === 'nft') return optional(tool, false, NO_RULES);
  if (file === null) {
    return finding(tool, false, 'not installed', manager === null ? null : installCommand(manager, [tool]));
  }
  return finding(tool, true, `${file} ${await versionOf(tool, file)}`, null);
}

/** What a machine without nft falls back to. */
const NO_RULES = `not installed (nftables): sandboxes get the plain door, for policies that name at most ${PLAIN_PORTS} ports`;

async function versionOf(tool: ToolName, file: string): Promise<string> {
  if (tool === 'sh') return ''; // shells do not agree on how to be asked
  try {
    const { stdout } = await run(file, [tool === 'ip' ? '-V' : '--version'], { env: { PATH: SYSTEM_PATH } });
    return `(${stdout.trim()})`;
  } catch {
    return ''; // it is there; that it does not tell its version says nothing
  }
}

/** Opens a door and runs a command in it: nothing else shows that the machine allows both. */
async function tried(): Promise<readonly Finding[]> {
  let door: Vestibule;
  try {
    findTools();
    door = await openDoor();
  } catch (error) {
    return [finding('namespaces and rules', false, messageOf(error), mendingIn(error))];
  }
  try {
    const plain = door.cell.tools.nft === null ? ', the plain door' : '';
    const tried = `${door.cell.userNamespace ? 'tried' : 'tried, as root only'}${plain}`;
    return [
      finding('namespaces and rules', true, tried, null),
      await sandboxFinding(door),
      await limitsFinding(door),
      optional('IPv6', door.cell.ipv6, door.cell.ipv6 ? 'tried' : 'sandboxes have IPv4 only'),
    ];
  } finally {
    await door.close();
  }
}

/** By a control group that is made and removed again. */
async function limitsFinding(door: Vestibule): Promise<Finding> {
  try {
    const { isWhole, text } = await triedLimits(door.cell.tools);
    return optional('limits', isWhole, isWhole ? 'control groups' : text);
  } catch (error) {
    return optional('limits', false, messageOf(error));
  }
}

async function sandboxFinding(door: Vestibule): Promise<Finding> {
  try {
    const command = await startCommand(door.cell, {
      argv: ['true'],
      env: new Map([['PATH', SYSTEM_PATH]]),
      workdir: '/',
      binds: [],
      noFsIsolation: false,
      hide: [],
      files: [],
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'ignore',
    });
    const { code } = await command.exit;
    return finding('sandbox', code === 0, code === 0 ? 'tried' : `bubblewrap failed (${code})`, null);
  } catch (error) {
    return finding('sandbox', false, messageOf(error), null);
  }
}

function openDoor(): Promise<Vestibule> {
  return openVestibule({
    sandbox: 'doctor',
    allowedPorts: [{ from: 443, to: 443 }],
    nameOf: () => null,
    onFlow: flow => flow.refuse(),
    onDnsTcp: flow => flow.refuse(),
    onDnsUdp: () => {},
  });
}

/** Only virtual machines want these. */
function machineFindings(): readonly Finding[] {
  const program = MONITORS.map(name => findProgram(name)).find(file => file !== null);
  return [
    optional(
      'qemu',
      program !== undefined,
      program ?? 'no `run --vm`: install qemu-system-x86, busybox-static, squashfs-tools',
    ),
    tunFinding(),
    kvmFinding(),
  ];
}

const MONITORS = process.arch === 'arm64' ? ['qemu-system-aarch64'] : ['qemu-system-x86_64'];

function tunFinding(): Finding {
  const file = '/dev/net/tun';
  if (!existsSync(file))
    return optional(file, false, 'virtual machines have no network without it: modprobe tun');
  if (mayUse(file)) return optional(file, true, 'usable');
  return optional(file, false, `not ours to open, so virtual machines have no network: chmod 0666 ${file}`);
}

function kvmFinding(): Finding {
  const file = '/dev/kvm';
  const detail = mayUse(file)
    ? 'ours to open; whether it runs a guest is tried by the first one'
    : 'guests are emulated, which is slower';
  return optional(file, mayUse(file), detail);
}

function mayUse(file: string): boolean {
  try {
    accessSync(file, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false; // absent, or for others
  }
}

function finding(name: string, fit: boolean, detail: string, mending: string | null): Finding {
  return { name, state: fit ? 'ok' : 'missing', detail, mending };
}

function optional(name: string, present: boolean, detail: string): Finding {
  return { name, state: present ? 'ok' : 'optional', detail, mending: null };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function mendingIn(error: unknown): string | null {
  return error instanceof GatewayError && error.code === 'NAMESPACE_DENIED'
    ? (error.message.match(/`(sysctl[^`]*)`/)?.[1] ?? null)
    : null;
}

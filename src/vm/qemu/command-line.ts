/**
 * QEMU's arguments for one machine.
 *
 * Pure. Paths are those inside the VMM's own cell, numbers those of inherited descriptors, so nothing of the host is in
 * them, and neither is anything of the sandbox's secrets: they come to the guest by the agent.
 */
import { createHash } from 'node:crypto';
import type { TapLease } from '../../net/vestibule/index.js';

export type Accel = 'kvm' | 'tcg';

/** A disk of the machine: a file that its cell holds at `path`. */
export interface DiskFile {
  /** The guest finds it by this name (`serial`), at most 20 characters. */
  readonly name: string;
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  readonly readonly: boolean;
  /** Flushes need not reach the host's disk: it is thrown away with the machine. */
  readonly scratch: boolean;
}

export interface CommandLine {
  readonly accel: Accel;
  readonly arch: 'x64' | 'arm64';
  readonly cpus: number;
  readonly memoryMb: number;
  readonly kernel: string;
  readonly initramfs: string;
  readonly kernelArgs: readonly string[];
  readonly disks: readonly DiskFile[];
  readonly agentFd: number;
  readonly monitorFd: number;
  /** Null: no network interface at all. */
  readonly net: { readonly fd: number; readonly mac: string; readonly mtu: number } | null;
  /** Folders of the host, and where the VMM finds the socket that serves each. */
  readonly shares: readonly { readonly tag: string; readonly path: string }[];
  /** Whatever else is attached. */
  readonly more: readonly string[];
}

/** Nothing that it does not need to run a guest: no new programs, no other rights, no other scheduling. */
const SECCOMP = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';

/** Of translated code, in MiB: without a bound it takes up to a gigabyte of the host. */
const TRANSLATED_MB = 256;

export function qemuArgs(line: CommandLine): readonly string[] {
  return [
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-sandbox', SECCOMP],
    ...machineArgs(line),
    ...['-kernel', line.kernel, '-initrd', line.initramfs, '-append', kernelLine(line)],
    ...['-serial', 'stdio'],
    ...['-chardev', `socket,id=monitor,fd=${line.monitorFd}`, '-mon', 'chardev=monitor,mode=control'],
    ...['-device', 'virtio-serial-pci,id=ports,max_ports=2'],
    ...['-chardev', `socket,id=agent,fd=${line.agentFd}`],
    ...['-device', 'virtserialport,bus=ports.0,chardev=agent,name=sallyport'],
    ...['-device', 'virtio-rng-pci'],
    ...line.disks.flatMap(diskArgs),
    ...netArgs(line),
    ...line.shares.flatMap(shareArgs),
    ...line.more,
  ];
}

function machineArgs({ accel, arch, cpus, memoryMb, shares }: CommandLine): readonly string[] {
  const machine = arch === 'x64' ? 'q35,usb=off,smbus=off,sata=off,vmport=off' : 'virt,gic-version=max';
  const accelerator = accel === 'kvm' ? 'kvm' : `tcg,thread=multi,tb-size=${TRANSLATED_MB}`;
  return [
    // Who serves a folder reads and writes the guest's memory itself.
    ...(shares.length === 0 ? [] : ['-object', `memory-backend-memfd,id=ram,size=${memoryMb}M,share=on`]),
    ...[
      '-machine',
      shares.length === 0 ? machine : `${machine},memory-backend=ram`,
      '-accel',
      accelerator,
      '-cpu',
      cpuModel(accel, arch),
    ],
    ...['-smp', String(cpus), '-m', String(memoryMb)],
  ];
}

/**
 * An emulated processor that says it moves strings fast has its kernel copy by an instruction that is emulated byte for
 * byte; one with five levels of page tables walks one more at each miss.
 */
function cpuModel(accel: Accel, arch: CommandLine['arch']): string {
  if (accel === 'kvm') return 'host';
  return arch === 'x64' ? 'max,-erms,-fsrm,-la57' : 'max';
}

function kernelLine({ accel, arch, kernelArgs }: CommandLine): string {
  const console = arch === 'x64' ? 'ttyS0' : 'ttyAMA0';
  // What the mitigations keep apart is all the guest's own; an emulated processor has nothing to mitigate.
  const emulated = accel === 'tcg' ? ['mitigations=off'] : [];
  return [
    `console=${console}`,
    'quiet',
    'panic=-1',
    'reboot=t',
    'net.ifnames=0',
    'random.trust_cpu=on',
    ...emulated,
    ...kernelArgs,
  ].join(' ');
}

function diskArgs({ name, path, format, readonly, scratch }: DiskFile): readonly string[] {
  const options = [
    `driver=${format},node-name=${name},read-only=${readonly ? 'on' : 'off'}`,
    `file.driver=file,file.filename=${path.replaceAll(',', ',,')},file.read-only=${readonly ? 'on' : 'off'}`,
    ...(readonly ? [] : ['discard=unmap,file.discard=unmap']),
    ...(scratch ? ['cache.no-flush=on'] : []),
  ];
  // A full host disk is an error that the guest sees, not a machine that stands still.
  const device = `virtio-blk-pci,drive=${name},serial=${name},werror=report,rerror=report`;
  return ['-blockdev', options.join(','), '-device', device];
}

function shareArgs({ tag, path }: { readonly tag: string; readonly path: string }): readonly string[] {
  return [
    ...['-chardev', `socket,id=${tag},path=${path}`],
    ...['-device', `vhost-user-fs-pci,chardev=${tag},tag=${tag}`],
  ];
}

function netArgs({ net }: CommandLine): readonly string[] {
  if (net === null) return [];
  return [
    ...['-netdev', `tap,id=net,fd=${net.fd},vhost=off`],
    ...['-device', `virtio-net-pci,netdev=net,mac=${net.mac},host_mtu=${net.mtu},romfile=`],
  ];
}

/** The lease as the guest's first program reads it. */
export function netKernelArg(lease: TapLease, ipv6: boolean): string {
  const four = `${lease.guestIpv4}/${lease.prefixIpv4},${lease.gateIpv4}`;
  const six = ipv6 ? `${lease.guestIpv6}/${lease.prefixIpv6},${lease.gateIpv6}` : ',';
  return `sp.net=${four},${six},${lease.mtu}`;
}

/** The same of a link past the gateway: an empty field is left to the guest. */
export function bridgedKernelArg({
  mtu,
  address = '',
  router = '',
}: {
  readonly mtu: number;
  readonly address?: string;
  readonly router?: string;
}): string {
  return `sp.bridged=${mtu},${address},${router}`;
}

/** A MAC of a sandbox's own on a bridge, the same at each start: locally administered, for one station. */
export function bridgedMac(id: string): string {
  const bytes = createHash('sha256').update(`sallyport ${id}`).digest().subarray(0, 4);
  return ['02', '53', ...Array.from(bytes, byte => byte.toString(16).padStart(2, '0'))].join(':');
}

/**
 * What a sandbox is made of: the types of its configuration and their defaults.
 *
 * Pure types. The names are camelCase here and snake_case in files; `codec.ts` maps the two. An absent field means
 * its default; `parseConfig` fills them in, so that the rest of the program sees a `Config` that is whole.
 */

export const DEFAULT_CPUS = 1;
export const DEFAULT_MEMORY_MB = 512;
export const DEFAULT_DISK_SIZE_MB = 5120;
/** How long a command may run that says nothing else, in seconds. */
export const DEFAULT_TIMEOUT_SECONDS = 300;
/** Between the request to end and the kill, in milliseconds: none unless asked for. */
export const DEFAULT_GRACEFUL_SHUTDOWN_PERIOD = 0;
/** Where the sandbox's own files are, in the guest. */
export const DEFAULT_WORKSPACE = '/workspace';
export const DEFAULT_DNS_SERVERS: readonly string[] = ['8.8.8.8', '8.8.4.4'];
/** Of a sandbox of processes: more than any build starts at a time, fewer than a fork bomb needs. */
export const DEFAULT_PIDS = 4096;
export const DEFAULT_MTU = 1500;
/** Made on this machine by `sallyport image build default`; no registry has it. */
export const DEFAULT_IMAGE = 'default';

export interface Resources {
  /** May be a fraction where the backend can give one. */
  readonly cpus: number;
  readonly memoryMb: number;
  readonly diskSizeMb: number;
  /** Processes and threads at a time, in a sandbox of processes. Default: `DEFAULT_PIDS`. */
  readonly pids?: number;
  /** Deadline of a command that names none; 0: no deadline. */
  readonly timeoutSeconds: number;
}

export type NetworkProfile = 'strict' | 'balanced' | 'open';
export type NetworkMode = 'disabled' | 'nat' | 'bridged';
export type PortProtocol = 'tcp' | 'udp';

export interface PortForward {
  /** Default: 127.0.0.1. */
  readonly hostIp?: string;
  /** 0: any free one. */
  readonly hostPort: number;
  readonly guestPort: number;
  /** Default: tcp. */
  readonly protocol?: PortProtocol;
}

/** A line of the guest's /etc/hosts. */
export interface HostIPMapping {
  readonly host: string;
  readonly ip: string;
}

/** A secret for some hosts; the sandbox holds a placeholder. Its value is never written down. */
export interface SecretConfig {
  /** Kept in memory only, and handed to the sandbox's supervisor over a pipe. */
  readonly value?: string;
  /** Where the value comes from each time the sandbox starts, as a policy file has it; default: the environment. */
  readonly valueFrom?: unknown;
  readonly placeholder?: string;
  readonly hosts: readonly string[];
}

export interface CidrRuleConfig {
  readonly cidr: string;
  readonly protocol?: 'tcp' | 'udp' | 'any';
  readonly portStart?: number;
  readonly portEnd?: number;
}

export interface DomainRuleConfig {
  readonly domain: string;
  readonly port?: number;
  readonly protocol?: 'tcp' | 'udp' | 'any';
  /** Whatever else a rule of a policy file may say, in camelCase. */
  readonly [more: string]: unknown;
}

/** A policy as `docs/reference/policy.md` has it, in camelCase. */
export interface NetworkPolicy {
  readonly mode?: 'block_all' | 'allow_all' | 'shadow';
  readonly allowCidr?: readonly (string | CidrRuleConfig)[];
  readonly denyCidr?: readonly (string | CidrRuleConfig)[];
  readonly allowDomain?: readonly (string | DomainRuleConfig)[];
  readonly denyDomain?: readonly (string | DomainRuleConfig)[];
  readonly dns?: {
    readonly servers?: readonly string[];
    readonly searchDomains?: readonly string[];
    readonly blockPrivate?: boolean;
    readonly [more: string]: unknown;
  };
  readonly proxy?: {
    readonly httpProxy?: string;
    readonly httpsProxy?: string;
    readonly noProxy?: readonly string[];
    readonly enforce?: boolean;
  };
  readonly limits?: {
    readonly maxEgressBps?: number;
    readonly maxIngressBps?: number;
    readonly maxConnections?: number;
    readonly [more: string]: unknown;
  };
  readonly [more: string]: unknown;
}

export interface NetworkConfig {
  /** False is the same as mode `disabled`: no network interface at all. */
  readonly enabled: boolean;
  readonly mode: NetworkMode;
  /** The built-in policy that the others stand on. Default: none, so that nothing passes that is not named. */
  readonly profile?: NetworkProfile;
  /** Policy files of the host, read at each start; later ones on top. */
  readonly policyFiles?: readonly string[];
  readonly policy?: NetworkPolicy;
  readonly portForwards?: readonly PortForward[];
  /** The blocks of the host's own interfaces are denied, whatever allows them. */
  readonly isolateFromHostLan?: boolean;
  /** `host` or `host:port`, on top of the policy's own rules. */
  readonly allowedHosts?: readonly string[];
  readonly blockPrivateIps?: boolean;
  /** By the name of the variable in the sandbox. */
  readonly secrets?: Readonly<Record<string, SecretConfig>>;
  /** Path of a policy script on the host. */
  readonly policyScript?: string;
  /** PEM files of the host whose roots are trusted beside the system's, for upstreams. */
  readonly upstreamCa?: readonly string[];
  /** The gateway's own resolvers; the sandbox asks only the gateway. */
  readonly dnsServers?: readonly string[];
  readonly searchDomains?: readonly string[];
  readonly addHosts?: readonly HostIPMapping[];
  /** Default: the sandbox's id. */
  readonly hostname?: string;
  readonly mtu?: number;
  /** Of mode `bridged`: the bridge of the host that the machine is plugged into, past the gateway. */
  readonly bridge?: string;
  /** Of mode `bridged`: the machine's address on it, `192.0.2.10/24`. Default: whatever the guest does by itself. */
  readonly address?: string;
  /** Of mode `bridged`: where everything else is reached. Default: nowhere. */
  readonly router?: string;
}

/** `memory`: empty, gone with the sandbox. `overlay`: writes go to `upper`, `lower` is only read. */
export type MountType = 'memory' | 'real_fs' | 'overlay';

export interface MountConfig {
  readonly type: MountType;
  /** Of a `real_fs`. */
  readonly hostPath?: string;
  readonly readonly?: boolean;
  readonly upper?: MountConfig;
  readonly lower?: MountConfig;
}

/** A folder or file of the host, as it is. */
export interface DirectMount {
  readonly hostPath: string;
  readonly readonly?: boolean;
}

export interface VFSConfig {
  readonly workspace?: string;
  /** By path in the guest. */
  readonly directMounts?: Readonly<Record<string, DirectMount>>;
  /** By path in the guest. */
  readonly mounts?: Readonly<Record<string, MountConfig>>;
}

/** A folder or file of the host at a path of the guest, as a list has it. */
export interface Mount {
  readonly hostPath: string;
  readonly guestPath: string;
  readonly readOnly?: boolean;
}

/** An ext4 image to attach as a block device. */
export interface DiskMount {
  readonly hostPath: string;
  readonly guestMount: string;
  readonly readonly?: boolean;
}

/** What an image says of the command to run. */
export interface ImageConfig {
  readonly user?: string;
  readonly workingDir?: string;
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Config {
  /** A reference, as `debian:12`; empty: the backend's default. */
  readonly image: string;
  /** A local OCI image layout; it goes before `image`. */
  readonly localBundlePath?: string;
  /** Skips what restricts the commands inside a guest; never what is around it. */
  readonly privileged: boolean;
  readonly resources: Resources;
  readonly network: NetworkConfig;
  readonly vfs: VFSConfig;
  readonly env: Readonly<Record<string, string>>;
  readonly workingDir?: string;
  readonly extraDisks: readonly DiskMount[];
  readonly imageConfig?: ImageConfig;
  /** Changes of the root file system outlive a stop. */
  readonly persist: boolean;
}

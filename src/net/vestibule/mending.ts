/** How to get what is missing: one command for each family of distributions. Pure. */

export const TOOL_NAMES = ['unshare', 'nsenter', 'setpriv', 'ip', 'nft', 'bwrap', 'sh'] as const;
export type ToolName = (typeof TOOL_NAMES)[number];

export const PACKAGE_MANAGER_NAMES = ['apt-get', 'dnf', 'apk', 'pacman', 'zypper'] as const;
export type PackageManager = (typeof PACKAGE_MANAGER_NAMES)[number];

interface Manager {
  /** Installs the packages that follow, without asking. */
  readonly install: string;
  /** Must run first, or null. */
  readonly refresh: string | null;
  /** Where the tool's package is not called as in `PACKAGES`. */
  readonly names: ReadonlyMap<string, readonly string[]>;
}

/** The package of each tool, as Debian calls it. `sh` is everywhere. */
const PACKAGES: ReadonlyMap<ToolName, string> = new Map([
  ['unshare', 'util-linux'],
  ['nsenter', 'util-linux'],
  ['setpriv', 'util-linux'],
  ['ip', 'iproute2'],
  ['nft', 'nftables'],
  ['bwrap', 'bubblewrap'],
]);

const AS_IN_DEBIAN: Manager['names'] = new Map();

export const PACKAGE_MANAGERS: Readonly<Record<PackageManager, Manager>> = {
  'apt-get': {
    install: 'apt-get -o DPkg::Lock::Timeout=400 install -y --no-install-recommends',
    refresh: 'apt-get -o DPkg::Lock::Timeout=400 update',
    names: AS_IN_DEBIAN,
  },
  dnf: { install: 'dnf install -y', refresh: null, names: new Map([['iproute2', ['iproute']]]) },
  apk: {
    install: 'apk add',
    refresh: null,
    // Busybox has an `unshare` and an `nsenter` of its own that lack what we need.
    names: new Map([['util-linux', ['util-linux-misc', 'setpriv']]]),
  },
  pacman: { install: 'pacman -S --needed --noconfirm', refresh: null, names: AS_IN_DEBIAN },
  zypper: { install: 'zypper --non-interactive install', refresh: null, names: AS_IN_DEBIAN },
};

/** The packages that hold `tools`, each once, in a stable order. */
export function packagesOf(manager: PackageManager, tools: readonly ToolName[]): readonly string[] {
  const { names } = PACKAGE_MANAGERS[manager];
  const packages = tools.flatMap(tool => {
    const name = PACKAGES.get(tool);
    return name === undefined ? [] : (names.get(name) ?? [name]);
  });
  return [...new Set(packages)].sort();
}

/** One command line that installs `tools`; to be run as root. */
export function installCommand(manager: PackageManager, tools: readonly ToolName[]): string {
  return `${PACKAGE_MANAGERS[manager].install} ${packagesOf(manager, tools).join(' ')}`;
}

/** The commands that install `tools`, in order, as words; by way of sudo for an ordinary user. */
export function setupCommands(
  manager: PackageManager,
  tools: readonly ToolName[],
  { isRoot }: { readonly isRoot: boolean },
): readonly (readonly string[])[] {
  const { refresh } = PACKAGE_MANAGERS[manager];
  const lines = [...(refresh === null ? [] : [refresh]), installCommand(manager, tools)];
  return lines.map(line => [...(isRoot ? [] : ['sudo']), ...line.split(' ')]);
}

/** A switch of the kernel or of the distribution that keeps an ordinary user from making namespaces. */
export interface NamespaceSwitch {
  /** A file under /proc/sys. */
  readonly file: string;
  /** What the file holds when namespaces are refused. */
  readonly refusing: (value: string) => boolean;
  readonly command: string;
}

export const NAMESPACE_SWITCHES: readonly NamespaceSwitch[] = [
  {
    file: '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
    refusing: value => value !== '0',
    command: 'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0',
  },
  {
    file: '/proc/sys/kernel/unprivileged_userns_clone',
    refusing: value => value === '0',
    command: 'sysctl -w kernel.unprivileged_userns_clone=1',
  },
  {
    file: '/proc/sys/user/max_user_namespaces',
    refusing: value => value === '0',
    command: 'sysctl -w user.max_user_namespaces=15000',
  },
  {
    file: '/proc/sys/user/max_net_namespaces',
    refusing: value => value === '0',
    command: 'sysctl -w user.max_net_namespaces=15000',
  },
];

/** The commands for the switches that refuse; `read` gives a file's trimmed text, or null where there is none. */
export function namespaceMending(read: (file: string) => string | null): readonly string[] {
  return NAMESPACE_SWITCHES.flatMap(({ file, refusing, command }) => {
    const value = read(file);
    return value !== null && refusing(value) ? [command] : [];
  });
}

/** What to say when the TAP cannot be made; `said` is what `ip tuntap` wrote. */
export function tunMending(said: string): string {
  const absent = /No such (file|device)/.test(said);
  const command = absent ? 'modprobe tun' : 'chmod 0666 /dev/net/tun';
  const why = absent ? 'it does not exist' : 'it is not ours to open';
  return `a machine's network needs /dev/net/tun, and ${why} (${said.trim()}). Mend it, as root, with \`${command}\`.`;
}

import fc from 'fast-check';
import {
  installCommand,
  namespaceMending,
  packagesOf,
  setupCommands,
} from '../../../src/net/vestibule/mending.js';
import { parseSockaddr } from '../../../src/net/vestibule/original.js';
import { ANY_PORT, emitPorts, mergePorts } from '../../../src/net/vestibule/ports.js';
import { parseRefusals, refusalKind } from '../../../src/net/vestibule/refusals.js';
import { cellRules, gateRules } from '../../../src/net/vestibule/ruleset.js';

const SEED = { seed: 20_19 };

describe('emitPorts', () => {
  test.each([
    ['DNS alone where no rule allows anything', [], '53'],
    [
      'single ports and ranges, sorted',
      [
        { from: 8000, to: 8999 },
        { from: 443, to: 443 },
      ],
      '53, 443, 8000-8999',
    ],
    [
      'ranges that touch or overlap as one',
      [
        { from: 50, to: 52 },
        { from: 54, to: 60 },
        { from: 55, to: 55 },
      ],
      '50-60',
    ],
    ['every port as one range', ANY_PORT, '1-65535'],
  ])('writes %s', (_name, ranges, want) => {
    expect(emitPorts(ranges)).toBe(want);
  });

  test.each([
    { from: 0, to: 1 },
    { from: 2, to: 1 },
    { from: 1, to: 65_536 },
    { from: 1.5, to: 2 },
    { from: Number.NaN, to: 2 },
  ])('throws for %p', range => {
    expect(() => emitPorts([range])).toThrow(RangeError);
  });

  test('holds exactly the ports given, in ranges that neither overlap nor touch', () => {
    const port = fc.integer({ min: 1, max: 65_535 });
    const range = fc.tuple(port, port).map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) }));
    const within = (list: readonly { from: number; to: number }[], value: number) =>
      list.some(({ from, to }) => value >= from && value <= to);
    fc.assert(
      fc.property(fc.array(range, { maxLength: 8 }), port, (ranges, probe) => {
        const merged = mergePorts(ranges);
        expect(within(merged, probe)).toBe(probe === 53 || within(ranges, probe));
        for (let i = 1; i < merged.length; i++) {
          expect(merged[i]?.from).toBeGreaterThan((merged[i - 1]?.to ?? 0) + 1);
        }
      }),
      SEED,
    );
  });
});

describe('parseRefusals', () => {
  const LISTING = `table inet cell {
	set ports {
		type inet_service
		flags interval
		elements = { 53, 80, 8000-8999 }
	}
	set ported4 {
		elements = { 6 . 93.184.216.34 . 22 counter packets 1 bytes 60,
			     17 . 224.0.0.251 . 5353 counter packets 2 bytes 58 }
	}
	set ported6 { elements = { 17 . 2606:2800::1 . 853 counter packets 1 bytes 49 } }
	set bare4 { elements = { 1 . 1.1.1.1 counter packets 4 bytes 336, 99 . 1.1.1.1 counter packets 1 bytes 20 } }
}`;

  test('reads what the kernel lists, and nothing else', () => {
    expect(parseRefusals(LISTING).map(one => Object.values(one).join(' '))).toEqual([
      'tcp 93.184.216.34 22 1 60',
      'udp 224.0.0.251 5353 2 58',
      'udp 2606:2800::1 853 1 49',
      'icmp 1.1.1.1 0 4 336',
      'ip-99 1.1.1.1 0 1 20',
    ]);
  });

  test('never throws', () => {
    fc.assert(
      fc.property(fc.string(), text => void parseRefusals(text)),
      SEED,
    );
  });

  test.each([
    ['udp', 443, 'quic'],
    ['udp', 853, 'doq'],
    ['tcp', 853, 'dot'],
    ['udp', 5353, 'mdns'],
    ['tcp', 443, 'tcp'],
    ['icmp', 0, 'icmp'],
  ])('refusalKind calls %s/%d %s', (protocol, port, kind) => {
    expect(refusalKind({ protocol, port })).toBe(kind);
  });
});

describe('parseSockaddr', () => {
  test.each([
    ['0200 01bb 5db8d822 0000000000000000', '93.184.216.34', 443],
    ['0a00 1538 00000000 20010db8000000000000000000000007 00000000', '2001:db8::7', 5432],
  ])('reads %s', (hex, text, port) => {
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
    expect(parseSockaddr(bytes)).toMatchObject({ address: { text }, port });
  });

  test('is null for another family', () => {
    expect(parseSockaddr(new Uint8Array(28))).toBeNull();
  });

  test('never throws on 28 bytes of anything', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 28, maxLength: 28 }), bytes => void parseSockaddr(bytes)),
      SEED,
    );
  });
});

describe('the rulesets', () => {
  test('accept nothing by default, except where a chain only rewrites', () => {
    for (const rules of [cellRules([]), gateRules([])]) {
      const policies = Array.from(
        rules.matchAll(/type (\w+) hook \w+ .* policy (\w+);/g),
        ([, type, policy]) => [type, policy],
      );
      expect(policies.length).toBeGreaterThan(0);
      for (const [type, policy] of policies) expect(policy).toBe(type === 'nat' ? 'accept' : 'drop');
    }
  });
});

describe('what mends', () => {
  test.each([
    [
      'apt-get',
      ['bwrap', 'nft', 'ip', 'unshare', 'nsenter'],
      ['bubblewrap', 'iproute2', 'nftables', 'util-linux'],
    ],
    ['dnf', ['ip', 'setpriv'], ['iproute', 'util-linux']],
    ['apk', ['unshare', 'bwrap'], ['bubblewrap', 'setpriv', 'util-linux-misc']],
    ['pacman', ['nft'], ['nftables']],
    ['zypper', ['sh'], []],
  ] as const)('%s: %p are in %p', (manager, tools, packages) => {
    expect(packagesOf(manager, tools)).toEqual(packages);
  });

  test('is one command that asks nothing and waits for apt’s lock', () => {
    expect(installCommand('apt-get', ['bwrap'])).toBe(
      'apt-get -o DPkg::Lock::Timeout=400 install -y --no-install-recommends bubblewrap',
    );
  });

  test('goes by way of sudo for an ordinary user', () => {
    expect(setupCommands('dnf', ['nft'], { isRoot: false })).toEqual([
      ['sudo', 'dnf', 'install', '-y', 'nftables'],
    ]);
    expect(setupCommands('apt-get', ['nft'], { isRoot: true }).map(([program]) => program)).toEqual([
      'apt-get',
      'apt-get',
    ]);
  });

  test('is a sysctl for each switch that refuses, and none for those that do not', () => {
    const files = new Map([
      ['/proc/sys/kernel/apparmor_restrict_unprivileged_userns', '1'],
      ['/proc/sys/kernel/unprivileged_userns_clone', '1'],
      ['/proc/sys/user/max_user_namespaces', '0'],
    ]);
    expect(namespaceMending(file => files.get(file) ?? null)).toEqual([
      'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0',
      'sysctl -w user.max_user_namespaces=15000',
    ]);
    expect(namespaceMending(() => null)).toEqual([]);
  });
});

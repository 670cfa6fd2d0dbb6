import { compile } from '../../src/policy/compile.js';
import {
  blockOf,
  hostBlocks,
  layersOf,
  refuseBridgedSecrets,
  validateNetworkConfig,
} from '../../src/runtime/network.js';
import {
  balancedNetworkProfile,
  openNetworkProfile,
  strictNetworkProfile,
} from '../../src/runtime/profiles.js';
import type { NetworkConfig } from '../../src/vm/config.js';
import {
  ErrInvalidConfig,
  ErrNetworkInvalidConfig,
  ErrNetworkUnsupportedPlatform,
} from '../../src/vm/errors.js';
import { verdictOn } from './support.js';

const NAT = { enabled: true, mode: 'nat' } as const satisfies NetworkConfig;

test.each([
  ['the strict profile', strictNetworkProfile(), 'deny', 'deny'],
  ['the balanced profile', balancedNetworkProfile(), 'deny', 'allow'],
  ['the open profile', openNetworkProfile(), 'allow', 'allow'],
  ['nothing said', NAT, 'deny', 'deny'],
  ['allowed_hosts', { ...NAT, allowedHosts: ['example.com'] }, 'allow', 'deny'],
  [
    'a policy of its own',
    { ...NAT, policy: { mode: 'allow_all', denyDomain: ['pypi.org'] } },
    'allow',
    'deny',
  ],
  [
    'a policy on top of a profile',
    { ...strictNetworkProfile(), policy: { allowDomain: [{ domain: 'example.com', port: 443 }] } },
    'allow',
    'deny',
  ],
] as const)('%s: example.com and pypi.org', async (_name, network, example, pypi) => {
  const { layers } = await layersOf(network, new Map());
  expect(verdictOn(layers, 'https://example.com/', ['93.184.216.34'])).toBe(example);
  expect(verdictOn(layers, 'https://pypi.org/', ['93.184.216.34'])).toBe(pypi);
});

test('isolate_from_host_lan denies the blocks of the host’s interfaces, whatever allows them', async () => {
  const [block] = hostBlocks();
  const policy = { allowCidr: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'], mode: 'allow_all' } as const;
  const { layers } = await layersOf({ ...NAT, policy, isolateFromHostLan: true }, new Map());
  const denied = layers.at(-1)?.denyCidr.map(rule => rule.block.text) ?? [];
  expect(denied).toEqual([...hostBlocks()]);
  expect(compile(layers, {}).ok).toBe(true);
  if (block !== undefined) expect(denied).toContain(block);
});

test.each([
  ['192.168.1.7/24', ['192.168.1.0/24']],
  ['10.1.2.3/8', ['10.0.0.0/8']],
  ['10.1.2.3/32', ['10.1.2.3/32']],
  ['172.31.255.254/20', ['172.31.240.0/20']],
  ['2001:db8::7/64', ['2001:db8::/64']],
  ['fe80::1%eth0/64', []],
  ['nonsense', []],
])('the block of an interface with %s is %j', (cidr, blocks) => {
  expect(blockOf(cidr)).toEqual(blocks);
});

test('a value that was given becomes a literal, and stands in no document', async () => {
  const secrets = {
    KEY: { hosts: ['example.com'], value: 'the-value-itself-0123456789' },
    OTHER: { hosts: ['example.com'] },
  };
  const { layers, literals } = await layersOf({ ...NAT, secrets }, new Map([['KEY', secrets.KEY.value]]));
  const specs = layers.flatMap(layer => layer.secrets);
  expect(specs.map(({ name, valueFrom }) => [name, valueFrom.kind])).toEqual([
    ['KEY', 'literal'],
    ['OTHER', 'env'],
  ]);
  expect(JSON.stringify(layers)).not.toContain('the-value-itself');
  expect(literals.get('KEY')).toBe(secrets.KEY.value);
});

describe('validateNetworkConfig', () => {
  test.each([
    null,
    undefined,
    NAT,
    strictNetworkProfile(),
    balancedNetworkProfile(),
    openNetworkProfile(),
    { enabled: false },
  ])('lets %j be', network => {
    expect(() => validateNetworkConfig(network)).not.toThrow();
  });
  test('refuses a bridge, which would lead past the gateway', () => {
    expect(() => validateNetworkConfig({ ...NAT, mode: 'bridged' })).toThrow(ErrNetworkUnsupportedPlatform);
  });
  const bridged = { enabled: true, mode: 'bridged', bridge: 'br0' } as const;
  test('lets root name a bridge, and nobody else', () => {
    const check = (): void =>
      validateNetworkConfig({ ...bridged, address: '192.0.2.10/24', router: '192.0.2.1' });
    if (process.getuid?.() === 0) expect(check).not.toThrow();
    else expect(check).toThrow(ErrNetworkUnsupportedPlatform);
  });
  test('refuses secrets on a bridge, wherever they come from: nothing would keep them', async () => {
    const secrets = { KEY: { value: 'x', hosts: ['a.example'] } };
    if (process.getuid?.() === 0)
      expect(() => validateNetworkConfig({ ...bridged, secrets })).toThrow(ErrInvalidConfig);
    const policy = { allowDomain: ['a.example'], secrets: { KEY: { hosts: ['a.example'] } } };
    const { layers } = await layersOf({ ...bridged, policy }, new Map());
    expect(() => refuseBridgedSecrets(bridged, layers)).toThrow(ErrInvalidConfig);
    expect(() => refuseBridgedSecrets(NAT, layers)).not.toThrow();
  });
  test.each([
    [{ ...NAT, bridge: 'br0' }, 'bridge: is for mode: bridged'],
    [{ ...bridged, enabled: false, mode: 'disabled' as const }, 'bridge: is for mode: bridged'],
    [{ ...bridged, portForwards: [{ hostPort: 1, guestPort: 1 }] }, 'port_forwards: is the gateway’s'],
    [{ ...bridged, isolateFromHostLan: true }, 'isolate_from_host_lan: is the gateway’s'],
    [{ ...bridged, bridge: 'a b' }, 'bridge: is not the name of an interface'],
    [{ ...bridged, address: '192.0.2.10/33' }, 'address: is not ADDRESS/LENGTH'],
    [{ ...bridged, router: 'fe80::1' }, 'router: is not an IPv4 address'],
  ])('refuses %j', (network, says) => {
    expect(() => validateNetworkConfig(network)).toThrow(says);
  });
  test.each([
    [{ portForwards: [{ hostPort: 70_000, guestPort: 80 }] }, 'port_forwards[0].host_port'],
    [{ portForwards: [{ hostPort: 1, guestPort: 0 }] }, 'port_forwards[0].guest_port'],
    [
      {
        portForwards: [
          { hostPort: 8080, guestPort: 1 },
          { hostPort: 8080, guestPort: 2 },
        ],
      },
      'port_forwards[1]',
    ],
    [{ portForwards: [{ hostIp: 'localhost', hostPort: 1, guestPort: 1 }] }, 'port_forwards[0].host_ip'],
    [{ enabled: false, portForwards: [{ hostPort: 1, guestPort: 1 }] }, 'port_forwards: without a network'],
    [{ dnsServers: ['dns.example'] }, 'dns_servers[0]'],
    [{ allowedHosts: ['*example.com'] }, 'allowed_hosts[0]'],
    [{ policy: { allowCidr: ['10.0.0.1/8'] } }, 'policy.allow_cidr[0]'],
    [{ policy: { limits: { maxConnections: 0 } } }, 'policy.limits.max_connections'],
    [
      { secrets: { KEY: { hosts: ['a.example'], value: 'x', valueFrom: { env: 'Y' } } } },
      'exclude each other',
    ],
    [{ addHosts: [{ host: 'a b', ip: '::1' }] }, 'add_hosts[0].host'],
  ] as const)('refuses %j with its path', (network, says) => {
    let error: unknown;
    try {
      validateNetworkConfig(network as Partial<NetworkConfig>);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ErrNetworkInvalidConfig);
    expect((error as Error).message).toContain(says);
  });
  test('every port from 0 to 65535 is good for the host, from 1 for the guest', () => {
    for (const port of [1, 65_535]) {
      expect(() =>
        validateNetworkConfig({ portForwards: [{ hostPort: port, guestPort: port }] }),
      ).not.toThrow();
    }
    expect(() =>
      validateNetworkConfig({
        portForwards: [
          { hostPort: 0, guestPort: 1 },
          { hostPort: 0, guestPort: 2 },
        ],
      }),
    ).not.toThrow();
  });
});

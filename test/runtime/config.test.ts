import fc from 'fast-check';
import { toCamel, toSnake } from '../../src/runtime/codec.js';
import {
  configFrom,
  defaultConfig,
  emitConfig,
  getDNSServers,
  getWorkspace,
  parseConfig,
} from '../../src/runtime/config.js';
import { openNetworkProfile } from '../../src/runtime/profiles.js';
import { ErrInvalidConfig } from '../../src/vm/errors.js';

test('a configuration that says nothing has every default', () => {
  expect(defaultConfig()).toEqual({
    image: '',
    privileged: false,
    persist: false,
    env: {},
    extraDisks: [],
    resources: { cpus: 1, memoryMb: 512, diskSizeMb: 5120, timeoutSeconds: 300 },
    network: {
      enabled: true,
      mode: 'nat',
      profile: 'strict',
      blockPrivateIps: true,
      isolateFromHostLan: true,
    },
    vfs: { workspace: '/workspace', directMounts: {} },
  });
  expect(parseConfig('')).toEqual(defaultConfig());
  expect(parseConfig('{}')).toEqual(defaultConfig());
});

test('parseConfig merges a file over the defaults, and keeps words that are not names of ours', () => {
  const config = parseConfig(`{
    "resources": {"memory_mb": 1024},
    "env": {"MY_VAR": "x", "camelCase": "y"},
    "network": {"allowed_hosts": ["api.example.com"], "secrets": {"API_KEY": {"hosts": ["api.example.com"]}}},
    "vfs": {"workspace": "/work", "direct_mounts": {"/data/in_put": {"host_path": "/srv/in_put", "readonly": true}}},
    "extra_disks": [{"host_path": "/d.img", "guest_mount": "/var/lib/x"}],
    "image_config": {"working_dir": "/app", "entrypoint": ["init"]}
  }`);
  expect(config).toMatchObject({
    resources: { cpus: 1, memoryMb: 1024, diskSizeMb: 5120, timeoutSeconds: 300 },
    env: { MY_VAR: 'x', camelCase: 'y' },
    network: {
      enabled: true,
      mode: 'nat',
      allowedHosts: ['api.example.com'],
      secrets: { API_KEY: { hosts: ['api.example.com'] } },
    },
    vfs: {
      workspace: '/work',
      directMounts: { '/data/in_put': { hostPath: '/srv/in_put', readonly: true } },
    },
    extraDisks: [{ hostPath: '/d.img', guestMount: '/var/lib/x' }],
    imageConfig: { workingDir: '/app', entrypoint: ['init'] },
  });
});

test('options have short names for what is asked for most', () => {
  const mounts = [{ hostPath: '/srv', guestPath: '/data', readOnly: true }];
  const config = configFrom({ cpus: 2, memoryMb: 256, mounts, rootfsPath: '/images/x' });
  expect(config).toMatchObject({
    resources: { cpus: 2, memoryMb: 256 },
    vfs: { directMounts: { '/data': { hostPath: '/srv', readonly: true } } },
    localBundlePath: '/images/x',
  });
});

test('a sandbox that says nothing of a network has the runtime’s', () => {
  expect(configFrom({}, { network: openNetworkProfile() }).network.profile).toBe('open');
  expect(configFrom({ network: { enabled: false } }, { network: openNetworkProfile() }).network).toEqual({
    enabled: false,
    mode: 'disabled',
  });
});

test.each([
  ['{"imge": ""}', 'imge: unknown key'],
  ['{"resources": {"memory": 1}}', 'resources.memory: unknown key'],
  ['{"network": {"policy": {"alow_domain": []}}}', 'network.policy.alow_domain: unknown key'],
  [
    '{"network": {"secrets": {"K": {"hosts": []}}}}',
    'network.secrets.K.hosts: a secret with no hosts can go nowhere',
  ],
  ['{"network": {"enabled": true, "mode": "disabled"}}', 'network.mode: enabled: true says otherwise'],
  ['{"network": {"mtu": 100}}', 'network.mtu: IPv6 needs 1280'],
  ['{"resources": {"cpus": 0}}', 'resources.cpus: '],
  ['{"vfs": {"direct_mounts": {"/proc/x": {"host_path": "/"}}}}', "vfs.direct_mounts.'/proc/x'"],
  ['{"vfs": {"mounts": {"/x": {"type": "real_fs"}}}}', "vfs.mounts.'/x'.host_path"],
  ['{"env": {"A-B": "1"}}', 'A-B'],
  ['{"working_dir": "rel"}', 'working_dir: is not an absolute path'],
  ['[]', 'expected a mapping'],
  ['{', 'invalid configuration'],
])('parseConfig refuses %s with its path', (text, says) => {
  let error: unknown;
  try {
    parseConfig(text);
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(ErrInvalidConfig);
  expect((error as Error).message).toContain(says);
});

test('parseConfig lists every problem at once', () => {
  expect(() => parseConfig({ imge: 1, env: 2 })).toThrow(/env.*\n.*imge|imge.*\n.*env/s);
});

test('parseConfig never throws anything but ErrInvalidConfig', () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string(), fc.object()), input => {
      try {
        parseConfig(input);
      } catch (error) {
        expect(error).toBeInstanceOf(ErrInvalidConfig);
      }
    }),
    { seed: 7 },
  );
});

const word = fc.string({ unit: fc.constantFrom('a', 'b', 'z', '_', 'Q'), minLength: 1, maxLength: 8 });
const configs = fc.record({
  image: fc.string(),
  persist: fc.boolean(),
  env: fc.dictionary(
    word,
    fc.string().filter(text => !text.includes('\0')),
  ),
  resources: fc.record({
    cpus: fc.integer({ min: 1, max: 64 }),
    memoryMb: fc.integer({ min: 16, max: 4096 }),
  }),
  network: fc.record({
    enabled: fc.constant(true),
    allowedHosts: fc.array(fc.constantFrom('example.com', '*.example.com')),
    mtu: fc.integer({ min: 1280, max: 9000 }),
    portForwards: fc
      .uniqueArray(fc.integer({ min: 1, max: 65_535 }), { maxLength: 3 })
      .map(ports => ports.map(port => ({ hostPort: port, guestPort: port }))),
    addHosts: fc.array(fc.constant({ host: 'db.internal', ip: '10.0.0.1' }), { maxLength: 2 }),
  }),
});

test('what emitConfig writes, parseConfig reads back', () => {
  fc.assert(
    fc.property(configs, options => {
      const config = configFrom(options);
      expect(parseConfig(JSON.stringify(emitConfig(config)))).toEqual(config);
    }),
    { seed: 7 },
  );
});

test('names map to a file’s and back', () => {
  const value = {
    diskSizeMb: 1,
    blockPrivateIps: [{ hostIp: '' }],
    secrets: { A_b: { valueFrom: { keyring: { a_B: '' } } } },
  };
  expect(toSnake(value)).toEqual({
    disk_size_mb: 1,
    block_private_ips: [{ host_ip: '' }],
    secrets: { A_b: { value_from: { keyring: { a_B: '' } } } },
  });
  expect(toCamel(toSnake(value))).toEqual(value);
});

test('workspace and name servers have defaults', () => {
  expect(getWorkspace(null)).toBe('/workspace');
  expect(getWorkspace({ vfs: { workspace: '/w' } })).toBe('/w');
  expect(getWorkspace({ workspace: '/w' })).toBe('/w');
  expect(getDNSServers(null)).toEqual(['8.8.8.8', '8.8.4.4']);
  expect(getDNSServers({ dnsServers: [] })).toEqual(['8.8.8.8', '8.8.4.4']);
  expect(getDNSServers({ dnsServers: ['1.1.1.1'] })).toEqual(['1.1.1.1']);
});

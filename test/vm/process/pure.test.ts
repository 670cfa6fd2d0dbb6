import fc from 'fast-check';
import { bwrapArgs, coverable, emitArgs } from '../../../src/vm/process/bwrap.js';
import { emitNsswitch } from '../../../src/vm/process/etc.js';
import { commandOf, parseStatus } from '../../../src/vm/process/family.js';
import { findCommand } from '../../../src/vm/process/lookup.js';
import {
  type HostFiles,
  hostPathOf,
  imagesOf,
  isWithin,
  planMounts,
} from '../../../src/vm/process/mounts.js';
import { parseUnixSockets } from '../../../src/vm/process/sockets.js';
import { exitOf } from '../../../src/vm/process/status.js';
import { specOf } from '../door.js';

const SEED = { seed: 20_19 };

/** A host of a few files: `dir`, `exe`, `file`, `socket`, or `-> target`. */
function hostOf(tree: Readonly<Record<string, string>>): HostFiles {
  const entries = new Map(Object.entries({ '/': 'dir', ...tree }));
  const resolve = (path: string, links = 0): string | null => {
    let done = '';
    for (const part of path.split('/').filter(name => name !== '')) {
      const next = `${done}/${part}`;
      const entry = entries.get(next);
      if (entry === undefined || links > 9) return null;
      done = entry.startsWith('-> ') ? (resolve(entry.slice(3), links + 1) ?? '/nowhere') : next;
    }
    return entries.has(done || '/') ? done || '/' : null;
  };
  return {
    realpath: path => resolve(path),
    kind: path => {
      const entry = entries.get(path);
      if (entry === undefined) return null;
      if (entry.startsWith('-> ')) return 'symlink';
      return entry === 'dir' ? 'directory' : entry === 'socket' ? 'socket' : 'file';
    },
    readlink: path => entries.get(path)?.slice(3) ?? '',
    isExecutable: path => entries.get(resolve(path) ?? '') === 'exe',
    mayEnter: folder => !folder.endsWith('/private'),
  };
}

const HOST = hostOf({
  '/bin': '-> /usr/bin',
  '/usr': 'dir',
  '/usr/bin': 'dir',
  '/usr/bin/sh': 'exe',
  '/usr/bin/link': '-> /home/u/tools/mine',
  '/usr/bin/loop': '-> /usr/bin/loop',
  '/usr/bin/text': 'file',
  '/etc': 'dir',
  '/etc/resolv.conf': '-> /run/resolved/stub.conf',
  '/run': 'dir',
  '/run/resolved': 'dir',
  '/run/resolved/stub.conf': 'file',
  '/tmp': 'dir',
  '/proc': 'dir',
  '/proc/sys': 'dir',
  '/sys': 'dir',
  '/home': 'dir',
  '/home/u': 'dir',
  '/home/u/tools': 'dir',
  '/home/u/tools/mine': 'exe',
  '/home/u/work': 'dir',
  '/home/u/work/state': 'dir',
  '/home/u/work/run': 'exe',
});

const WORK = specOf(['sh'], { workdir: '/home/u/work', binds: [] });
const plan = planMounts(WORK, '/home/u', HOST);

describe('hostPathOf shows', () => {
  test.each([
    ['/usr/bin/sh', '/usr/bin/sh'],
    ['/home/u/work/run', '/home/u/work/run'],
    ['/home/u/tools', null],
    ['/tmp/x', null],
    ['/proc/self', null],
    ['/proc/sys/kernel', '/proc/sys/kernel'],
  ])('%s as %p', (path, want) => expect(hostPathOf(path, plan)).toBe(want));
});

describe('imagesOf finds', () => {
  const bind = (source: string, target: string) => ({ source, target, writable: true });
  test.each([
    ['a hidden folder under the working directory', [], ['/home/u/work/state']],
    [
      'it again under each name that a bind gives it',
      [bind('/home/u', '/mnt'), bind('/home/u/work', '/w')],
      ['/home/u/work/state', '/mnt/work/state', '/w/state'],
    ],
    [
      'not what a later bind covers',
      [bind('/home/u', '/mnt'), bind('/usr', '/mnt/work')],
      ['/home/u/work/state'],
    ],
  ])('%s', (_name, binds, want) => {
    const mounts = planMounts({ ...WORK, binds }, '/home/u', HOST);
    expect([...imagesOf('/home/u/work/state', mounts)].sort()).toEqual(want);
  });

  test('no image of what our own folders cover', () => {
    expect(imagesOf('/home/u/tools', plan)).toEqual([]);
  });
});

describe('planMounts refuses', () => {
  test.each([
    ['a bind of nothing', { binds: [{ source: '/none', target: '/x', writable: false }] }, /does not exist/],
    [
      'a bind out of what is hidden',
      {
        binds: [{ source: '/home/u/work/state', target: '/x', writable: false }],
        hide: ['/home/u/work/state'],
      },
      /stays hidden/,
    ],
    [
      'a working directory in what is hidden',
      { workdir: '/home/u/work/state', hide: ['/home/u/work'] },
      /stays hidden/,
    ],
  ])('%s', (_name, change, message) => {
    expect(() => planMounts({ ...WORK, ...change }, '/home/u', HOST)).toThrow(message);
  });

  test('nothing for a user whose home is /: the root stays', () => {
    expect(planMounts(WORK, '/', HOST)).not.toContainEqual({ kind: 'tmpfs', target: '/' });
  });
});

test('isWithin compares whole names', () => {
  expect([isWithin('/a/b', '/a'), isWithin('/a', '/a'), isWithin('/ab', '/a'), isWithin('/a', '/')]).toEqual([
    true,
    true,
    false,
    true,
  ]);
});

describe('findCommand', () => {
  const look = (command: string, path: string | undefined = '/usr/bin:/bin', workdir = '/home/u/work') =>
    findCommand(command, { plan, host: HOST, workdir, path });

  test.each([
    ['sh', '/usr/bin/sh'],
    ['/bin/sh', '/bin/sh'],
    ['./run', '/home/u/work/run'],
    ['../work/run', '/home/u/work/run'],
    ['/proc/self/exe', '/proc/self/exe'],
  ])('finds %s', (command, want) => expect(look(command)).toBe(want));

  test.each([
    ['nope', 'COMMAND_NOT_FOUND'],
    ['link', 'COMMAND_NOT_FOUND'],
    ['loop', 'COMMAND_NOT_FOUND'],
    ['/home/u/tools/mine', 'COMMAND_NOT_FOUND'],
    ['/tmp/x', 'COMMAND_NOT_FOUND'],
    ['text', 'COMMAND_NOT_EXECUTABLE'],
    ['/usr', 'COMMAND_NOT_EXECUTABLE'],
  ])('does not run %s', (command, code) => {
    expect(() => look(command)).toThrow(expect.objectContaining({ code }));
  });

  test('takes an empty entry of PATH as the working directory, and no PATH as the usual one', () => {
    expect(look('run', '/usr/bin:')).toBe('/home/u/work/run');
    expect(findCommand('sh', { plan, host: HOST, workdir: '/', path: undefined })).toBe('/bin/sh');
  });

  test('says where the host has a command that the sandbox does not see', () => {
    expect(() => look('mine', '/home/u/tools')).toThrow('the host has /home/u/tools/mine');
  });
});

describe('coverable', () => {
  const content = Buffer.from('x');
  const paths = (...files: readonly string[]) =>
    coverable(
      files.map(path => ({ path, content })),
      plan,
      HOST,
    ).map(({ path }) => path);

  test('follows links of the host, and lays a file down once', () => {
    expect(paths('/etc/resolv.conf', '/run/resolved/stub.conf')).toEqual(['/run/resolved/stub.conf']);
  });

  test('makes a new file in folders of our own only', () => {
    expect(paths('/run/sallyport/ca.pem', '/etc/new', '/home/u/work/new')).toEqual(['/run/sallyport/ca.pem']);
  });
});

describe('emitArgs', () => {
  test('ends each argument with NUL and refuses one that holds it', () => {
    expect(emitArgs(['--dir', '', 'ü'])).toBe('--dir\0\0ü\0');
    expect(() => emitArgs(['--setenv', 'X', '\0--bind'])).toThrow(/NUL/);
  });
});

describe('parseUnixSockets', () => {
  const TEXT = `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 12345 /run/docker.sock
0000000000000000: 00000002 00000000 00000000 0002 01 12346 @/tmp/.X11-unix/X0
0000000000000000: 00000003 00000000 00000000 0001 03 12347
0000000000000000: 00000002 00000000 00010000 0001 01 999 /var/lib/a b/c.sock
0000000000000000: 00000003 00000000 00000000 0001 03 998 /run/docker.sock
`;
  test('reads each path once, blanks and all, and no abstract name', () => {
    expect(parseUnixSockets(TEXT)).toEqual(['/run/docker.sock', '/var/lib/a b/c.sock']);
  });

  test('never throws', () => {
    fc.assert(
      fc.property(fc.string(), text => void parseUnixSockets(text)),
      SEED,
    );
  });
});

describe('emitNsswitch', () => {
  test('leaves every line but the one for hosts', () => {
    expect(
      emitNsswitch('passwd: files\nhosts: mymachines resolve [!UNAVAIL=return] files dns\nnetworks: files\n'),
    ).toBe('passwd: files\nhosts: files dns\nnetworks: files\n');
  });
});

describe('commandOf', () => {
  const status = (pid: number, parent: number, namespaces: string) =>
    parseStatus(`Name:\tx\nPid:\t${pid}\nPPid:\t${parent}\nNSpid:\t${namespaces}\n`);
  const facts = [
    status(100, 1, '100'),
    status(101, 100, '101\t1'),
    status(102, 101, '102\t2\t1'),
    status(104, 102, '104\t4\t3'),
    status(103, 102, '103\t3\t2'),
  ].filter(fact => fact !== null);

  test('is the second process of the innermost namespace', () => expect(commandOf(100, facts)).toBe(103));
  test('is null while the chain is being made', () => expect(commandOf(100, facts.slice(0, 3))).toBeNull());
  test('is null for a text without the fields', () => expect(parseStatus('Pid:\t1\n')).toBeNull());
});

describe('exitOf says', () => {
  const started = '{ "child-pid": 2 }\n{ "exit-code": 3 }\n';
  test.each([
    ['the command’s own code', { code: 3, signal: null, status: started }, { code: 3, signal: null }],
    [
      '125 for a sandbox that was not made',
      { code: 1, signal: null, status: '{ "child-pid": 2 }\n' },
      { code: 125, signal: null },
    ],
    [
      '128 + n for a chain that a signal ended',
      { code: null, signal: 'SIGKILL', status: started },
      { code: 137, signal: 'SIGKILL' },
    ],
  ] as const)('%s', (_name, outcome, want) => expect(exitOf(outcome)).toEqual(want));
});

test.each([
  ['in a user namespace', { uid: 0, gid: 0 }, ['--tmpfs', '/srv/private']],
  ['as real root', null, ['--ro-bind', '/dev/null', '/srv/private/deep/s']],
])(
  'a socket in a folder that only its owner may enter is masked where that can be done, %s',
  (_how, identity, mask) => {
    const host = hostOf({
      '/srv': 'dir',
      '/srv/private': 'dir',
      '/srv/private/deep': 'dir',
      '/srv/private/deep/s': 'socket',
      '/srv/open': 'socket',
    });
    const spec = specOf(['true']);
    const plan = planMounts({ ...spec, workdir: '/' }, '/root', host);
    const sockets = ['/srv/private/deep/s', '/srv/open'];
    const fds = { statusFd: 4, seccompFd: 5, firstFileFd: 6 };
    const args = bwrapArgs({ spec, plan, host, identity, sockets, ...fds, covered: [] }).join(' ');
    expect(args).toContain(mask.join(' '));
    expect(args).toContain('--ro-bind /dev/null /srv/open');
    if (identity !== null) expect(args).not.toContain('/srv/private/deep');
  },
);

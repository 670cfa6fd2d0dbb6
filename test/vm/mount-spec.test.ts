import fc from 'fast-check';
import { ErrMountInvalidConfig } from '../../src/vm/errors.js';
import { parseVolumeMount, validateGuestMount, validateMounts } from '../../src/vm/mount-spec.js';

describe('parseVolumeMount', () => {
  const good = [
    ['/srv/data:data', '/srv/data', '/workspace/data', false],
    ['/srv/data:data:ro', '/srv/data', '/workspace/data', true],
    ['/srv/data:data:rw', '/srv/data', '/workspace/data', false],
    ['/srv/data:/workspace/data', '/srv/data', '/workspace/data', false],
    ['/srv/data:/workspace', '/srv/data', '/workspace', false],
    ['/srv/data:/data', '/srv/data', '/workspace/data', false],
    ['/srv/data:/workspaces/x', '/srv/data', '/workspace/workspaces/x', false],
    ['/srv/data:./a//b/', '/srv/data', '/workspace/a/b', false],
    ['./rel:x', '/here/rel', '/workspace/x', false],
  ] as const;
  test.each(good)('reads %s', (volume, hostPath, guestPath, readonly) => {
    expect(parseVolumeMount(volume, '/workspace', '/here')).toEqual({ hostPath, guestPath, readonly });
  });

  test.each([
    '',
    '/srv',
    ':data',
    '/srv:',
    '/srv:a:b',
    '/srv:a:ro:x',
    '/srv:../etc',
    '/srv:/workspace/../etc',
    '/srv:a/../../etc',
    '/srv:a b',
    '/srv:$(id)',
    '/srv:a\nb',
    '/s\0rv:a',
  ])('refuses %j', volume => {
    expect(() => parseVolumeMount(volume, '/workspace', '/here')).toThrow(ErrMountInvalidConfig);
  });

  test('never leads out of the workspace, whatever it is given', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('/', '.', 'a', ':', 'r', 'o', ' ', '\0') }), text => {
        try {
          const { guestPath } = parseVolumeMount(`/h:${text}`, '/workspace', '/');
          expect(guestPath === '/workspace' || guestPath.startsWith('/workspace/')).toBe(true);
          expect(guestPath).not.toMatch(/\/\.{0,2}(\/|$)/);
        } catch (error) {
          expect(error).toBeInstanceOf(ErrMountInvalidConfig);
        }
      }),
      { seed: 7 },
    );
  });
});

describe('validateGuestMount', () => {
  test.each(['/data', '/var/lib/buildkit', '/a-b_c.d', '/workspace/x'])('lets %s be', path => {
    expect(() => validateGuestMount(path)).not.toThrow();
  });
  test.each([
    '',
    'data',
    '/',
    '/a/',
    '//a',
    '/a/../b',
    '/a/.',
    '/a b',
    "/a'b",
    '/a;b',
    '/a,b',
    '/a=b',
    '/ä',
    '/proc',
    '/sys/x',
    '/dev',
  ])('refuses %j', path => expect(() => validateGuestMount(path)).toThrow(ErrMountInvalidConfig));
  test('lets through nothing that a shell or kernel arguments would read in another way', () => {
    fc.assert(
      fc.property(fc.string(), text => {
        try {
          validateGuestMount(`/${text}`);
        } catch {
          return; // refused: the other outcome
        }
        expect(text).toMatch(/^[\w.@+/-]+$/);
      }),
      { seed: 7 },
    );
  });
});

test('validateMounts lists every problem with its path', () => {
  expect(() => validateMounts([{ hostPath: '/srv', guestPath: '/data', readOnly: true }])).not.toThrow();
  const mounts = [
    { hostPath: '', guestPath: '/data' },
    { hostPath: 'rel', guestPath: 'data' },
    { hostPath: '/srv', guestPath: '/data' },
  ];
  expect(() => validateMounts(mounts)).toThrow(
    [
      'invalid mount config: mounts[0].host_path: is empty',
      "mounts[1].host_path: 'rel' is not an absolute path",
      "mounts[1].guest_path: 'data' is not an absolute path",
      'mounts[2].guest_path: mounts[0] is there already',
    ].join('\n'),
  );
});

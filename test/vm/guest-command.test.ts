import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { composeCommand, shellQuoteArgs } from '../../src/vm/guest-command.js';
import { kernelDNSParam, kernelIPDNSSuffix } from '../../src/vm/kernel-dns.js';

test.each([
  [['ls', '-la', '/tmp'], 'ls -la /tmp'],
  [['echo', 'a b'], "echo 'a b'"],
  [['echo', "it's"], "echo 'it'\\''s'"],
  [['A=1', 'x'], "'A=1' x"],
  [['', '~', '*'], "'' '~' '*'"],
  [[], ''],
])('shellQuoteArgs writes %j as %s', (args, line) => {
  expect(shellQuoteArgs(args)).toBe(line);
});

test('a shell reads back what shellQuoteArgs wrote', () => {
  const argument = fc.string({
    unit: fc.constantFrom('a', "'", '"', '\\', '$', '`', ' ', '\n', '!', '*', 'ü', '='),
  });
  fc.assert(
    fc.property(fc.array(argument, { maxLength: 8 }), args => {
      const line = `printf '%s\\0' x ${shellQuoteArgs(args)}`;
      const said = execFileSync('sh', ['-c', line], { encoding: 'utf8' });
      expect(said.split('\0').slice(0, -1)).toEqual(['x', ...args]);
    }),
    { seed: 7, numRuns: 60 },
  );
});

test('shellQuoteArgs refuses a NUL, which no command line can hold', () => {
  expect(() => shellQuoteArgs(['a\0b'])).toThrow('NUL');
});

/** As in the reference of Dockerfiles: how ENTRYPOINT and CMD interact, and what `docker run IMAGE ARGS` does. */
test.each([
  ['neither', undefined, undefined, [], []],
  ['CMD alone', undefined, ['server', '-v'], [], ['server', '-v']],
  ['CMD, and arguments in its place', undefined, ['server'], ['sh'], ['sh']],
  ['ENTRYPOINT alone', ['init'], undefined, [], ['init']],
  ['ENTRYPOINT with CMD behind it', ['init', '--'], ['server'], [], ['init', '--', 'server']],
  ['ENTRYPOINT with arguments for CMD', ['init', '--'], ['server'], ['sh', '-x'], ['init', '--', 'sh', '-x']],
] as const)('composeCommand: %s', (_name, entrypoint, cmd, args, want) => {
  const image = { ...(entrypoint && { entrypoint }), ...(cmd && { cmd }) };
  expect(composeCommand(image, args)).toEqual(want);
});

test('composeCommand without an image is what the user says', () => {
  expect(composeCommand(null, ['a', 'b'])).toEqual(['a', 'b']);
});

test('composeCommand always begins with ENTRYPOINT and ends with the arguments, or CMD', () => {
  const words = fc.array(fc.string(), { maxLength: 4 });
  fc.assert(
    fc.property(words, words, words, (entrypoint, cmd, args) => {
      const got = composeCommand({ entrypoint, cmd }, args);
      expect(got).toEqual([...entrypoint, ...(args.length > 0 ? args : cmd)]);
    }),
    { seed: 7 },
  );
});

test.each([
  [[], '', ''],
  [['8.8.8.8'], ':8.8.8.8', '8.8.8.8'],
  [['8.8.8.8', '8.8.4.4'], ':8.8.8.8:8.8.4.4', '8.8.8.8,8.8.4.4'],
  [['1.1.1.1', '8.8.8.8', '8.8.4.4'], ':1.1.1.1:8.8.8.8', '1.1.1.1,8.8.8.8,8.8.4.4'],
  [['2001:DB8::1', '8.8.8.8'], ':8.8.8.8', '2001:db8::1,8.8.8.8'],
])('name servers %j are %j in ip= and %j as a list', (servers, suffix, list) => {
  expect(kernelIPDNSSuffix(servers)).toBe(suffix);
  expect(kernelDNSParam(servers)).toBe(list);
});

test('nothing but addresses gets into the arguments of a kernel', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string()), { maxLength: 4 }), servers => {
      try {
        expect(kernelDNSParam(servers)).toMatch(/^[0-9a-f:.,]*$/);
        expect(kernelIPDNSSuffix(servers)).toMatch(/^(:[0-9.]+){0,2}$/);
      } catch (error) {
        expect(error).toMatchObject({ code: 'NETWORK_CONFIG_INVALID' });
      }
    }),
    { seed: 7 },
  );
});

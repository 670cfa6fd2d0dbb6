import { emitTable, type Finding, isFit, isKernelFit, isNodeFit } from '../../src/cli/requirements.js';

const found = (name: string, state: Finding['state'], mending: string | null = null): Finding => ({
  name,
  state,
  detail: `${name} 1.0\nsecond line`,
  mending,
});

describe('emitTable', () => {
  const findings = [
    found('nft', 'missing', 'apt-get install nftables'),
    found('ip', 'ok', 'never shown'),
    found('bwrap', 'missing', 'apt-get install nftables'),
    found('tun', 'optional', 'never shown'),
  ];

  test('is a line for each finding, then each command that mends, once', () => {
    expect(emitTable(findings)).toBe(`nft    MISSING  nft 1.0
ip     ok       ip 1.0
bwrap  MISSING  bwrap 1.0
tun    absent   tun 1.0

Mend it, as root, with:
  apt-get install nftables
`);
  });

  test('ends with the findings where nothing is missing', () => {
    expect(emitTable([found('ip', 'ok')])).toBe('ip  ok       ip 1.0\n');
  });

  test('takes control characters out of what tools say', () => {
    expect(emitTable([{ ...found('ip', 'ok'), detail: 'a\x1b[2Jb' }])).toBe('ip  ok       a [2Jb\n');
  });

  test('a machine is fit when nothing needed is missing', () => {
    expect([isFit(findings), isFit([found('tun', 'optional')])]).toEqual([false, true]);
  });
});

test.each([
  ['20.18.3', false],
  ['20.19.0', true],
  ['22.1.0', true],
  ['18.20.0', false],
])('Node %s is fit: %p', (version, fit) => expect(isNodeFit(version)).toBe(fit));

test.each([
  ['5.10.0-1-amd64', false],
  ['5.11.0', true],
  ['6.1', true],
  ['4.18.0-553.el8', false],
])('kernel %s is fit: %p', (version, fit) => expect(isKernelFit(version)).toBe(fit));

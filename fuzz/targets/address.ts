/** Addresses: text and verdict against a reference that shares no code. */
import assert from 'node:assert';
import { addressFromBytes, type IpAddress, parseAddress } from '../../src/core/address.js';
import { classifyAddress } from '../../src/policy/special.js';
import type { Random } from '../engine/random.js';
import type { Target } from '../engine/target.js';
import { isMetadata, isPublic, readAddress } from '../references/address.js';
import { casesOf, short, textsOf } from '../seeds.js';

export const address: Target = {
  name: 'address',
  promise: 'an address is read and classified as a BigInt reference does, or refused',
  seeds: () => [...short(textsOf('ssrf-hosts', 'ip', 'host', 'input'), 64), ...resolved(), ...EDGES],
  tokens: [
    '.',
    ':',
    '::',
    'ffff',
    '0',
    '00',
    '255',
    '256',
    '127.0.0.1',
    '169.254.169.254',
    '::ffff:',
    '64:ff9b::',
    '2002:',
    '2001:',
    'fe80::',
    '%lo',
    '0x7f',
    '[',
    ']',
    '1',
  ],
  check,
};

const EDGES = [
  '::',
  '::1',
  '2001:db8::1',
  '1.2.3.4',
  '::ffff:10.0.0.1',
  '2002:a00:1::',
  '64:ff9b::169.254.169.254',
  'fe80::5efe:10.0.0.1',
  '2001:0:a00:1::',
  '2606:4700::1111',
].map(text => Buffer.from(text));

function resolved(): Buffer[] {
  return casesOf('ssrf-hosts').flatMap(one =>
    Array.isArray(one.resolves_to) ? one.resolves_to.map(text => Buffer.from(String(text))) : [],
  );
}

function check(input: Buffer, random: Random): string {
  const text = input.toString('latin1');
  const ours = parseAddress(text);
  const reference = readAddress(text);
  if (ours.ok) {
    assert.notEqual(reference, null, 'the reference reads no address');
    assert.equal(numberOf(ours.value), reference?.value, 'the reference reads another address');
    const again = parseAddress(ours.value.text);
    assert.ok(again.ok && again.value.text === ours.value.text, 'the canonical text is not one');
    isJudged(ours.value);
  } else assert.equal(reference, null, 'only the reference reads an address');
  // Any bytes are an address, near a block's edge as often as not.
  isJudged(addressFromBytes(someAddress(input, random)));
  return ours.ok ? 'both' : 'refused';
}

function isJudged(read: IpAddress): void {
  const bits = read.family === 4 ? 32 : 128;
  const { kind } = classifyAddress(read);
  assert.equal(kind === 'global', isPublic(bits, numberOf(read)), `${read.text} is ${kind}`);
  if (isMetadata(bits, numberOf(read))) assert.equal(kind, 'metadata', read.text);
}

function numberOf({ bytes }: IpAddress): bigint {
  return bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

const BLOCKS =
  '0a 7f a9fe ac10 c0a8 c000 c058 c612 c633 cb00 e0 f0 6440 a83f8110 6464 2001 2002 20010db8 3fff 64ff9b fe80 fec0 fc ff 00 00000000000000000000ffff 2000 3f 40 5f00 0100 fd000ec2'.split(
    ' ',
  );

function someAddress(input: Buffer, random: Random): Uint8Array {
  const bytes = Uint8Array.from({ length: random.below(2) === 0 ? 4 : 16 }, (_, i) =>
    random.below(3) === 0 ? 0 : random.below(3) === 0 ? 0xff : (input[i] ?? random.below(256)),
  );
  const block = Buffer.from(random.pick(BLOCKS), 'hex');
  if (random.below(4) > 0) bytes.set(block.subarray(0, bytes.length));
  return bytes;
}

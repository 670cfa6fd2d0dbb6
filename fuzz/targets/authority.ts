/** Host, port and URL: one reading, and the URL parser of browsers has no other. */
import assert from 'node:assert';
import {
  type Authority,
  authorityText,
  parseAuthority,
  parseUrl,
  sameAuthority,
} from '../../src/core/authority.js';
import { hostText } from '../../src/core/host.js';
import type { Target } from '../engine/target.js';
import { short, textsOf } from '../seeds.js';

export const authority: Target = {
  name: 'authority',
  promise:
    'an authority or URL that is accepted has one reading: its own text, and that of the WHATWG parser',
  seeds: () => [
    ...short(textsOf('domain-match', 'host')),
    ...short(textsOf('ssrf-hosts', 'host', 'url', 'ip', 'input')),
    ...['allowed.test', 'allowed.test:8080', '[2001:db8::1]:443', '192.0.2.1:80', 'http://a.test:81/p?q'].map(
      text => Buffer.from(text),
    ),
  ],
  tokens: [
    '.',
    ':',
    '@',
    '[',
    ']',
    '/',
    '\\',
    '?',
    '#',
    '%',
    '%2e',
    '%00',
    '\0',
    ' ',
    '\t',
    'xn--',
    '0x',
    '0',
    '127.1',
    '[::1]',
    '[::ffff:1.2.3.4]',
    ':80',
    ':443',
    ':',
    ':0',
    ':65536',
    'http://',
    'HTTPS://',
    '*.',
    '_',
    '-',
    '\u00df',
    '\xad',
    'localhost',
    '%25lo',
  ],
  check: input => {
    const text = input.toString('latin1');
    const outcomes = [checkAuthority(text), checkUrl(text)];
    return outcomes.includes(true) ? 'accepted' : 'refused';
  },
};

const CANONICAL = /^(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|[0-9.]+|[0-9a-f:]+)$/;

function checkAuthority(text: string): boolean {
  const read = parseAuthority(text, 'https');
  if (!read.ok) return false;
  isCanonical(read.value);
  const url = urlOf(`https://${text}/`);
  if (url !== null) agrees(read.value, url);
  return true;
}

function checkUrl(text: string): boolean {
  const read = parseUrl(text);
  if (!read.ok) return false;
  isCanonical(read.value.authority);
  const url = urlOf(text);
  if (url !== null) {
    agrees(read.value.authority, url);
    assert.equal(url.protocol, `${read.value.authority.scheme}:`);
    assert.equal(url.hash, '');
    assert.equal(url.username + url.password, '');
  }
  return true;
}

function isCanonical(read: Authority): void {
  assert.match(hostText(read.host), CANONICAL);
  const again = parseAuthority(authorityText(read), read.scheme);
  assert.ok(again.ok && sameAuthority(again.value, read), 'its text reads as another authority');
}

function urlOf(text: string): URL | null {
  return URL.canParse(text) ? new URL(text) : null;
}

function agrees({ scheme, host, port }: Authority, url: URL): void {
  const name = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  assert.equal(name, hostText(host), 'the URL parser reads another host');
  assert.equal(url.port === '' ? (scheme === 'http' ? 80 : 443) : Number(url.port), port, 'another port');
}

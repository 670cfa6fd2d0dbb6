/** Policy files: any text is a policy or a list of problems, and a policy decides any question. */
import assert from 'node:assert';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAddress } from '../../src/core/address.js';
import { parseUrl } from '../../src/core/authority.js';
import { parseHostname } from '../../src/core/host.js';
import { compile } from '../../src/policy/compile.js';
import { decide } from '../../src/policy/decide.js';
import { parsePolicy } from '../../src/policy/document.js';
import { packageRoot } from '../../src/policy/load.js';
import type { Policy } from '../../src/policy/policy.js';
import type { Question } from '../../src/policy/question.js';
import type { Target } from '../engine/target.js';
import { casesOf } from '../seeds.js';

export const policy: Target = {
  name: 'policy',
  promise:
    'any text is a policy or problems with paths; a policy answers every question, and never opens the floor unsaid',
  seeds: () => [...profiles(), ...ruleSets(), ...VALID.map(text => Buffer.from(text))],
  tokens: [
    '\n',
    '\n  - ',
    ': ',
    '- ',
    '*',
    '&a ',
    '*a',
    '<<: *a',
    '!!binary ',
    '!!js ',
    '? ',
    '|',
    '>',
    '{',
    '}',
    '[',
    ']',
    '"',
    "'",
    '#',
    '---\n',
    '...\n',
    '%YAML 1.1\n',
    '\t',
    'allow_domain:',
    'deny_domain:',
    'allow_cidr:',
    'mode: allow_all\n',
    'block_private_ips: false\n',
    'allow_metadata: true\n',
    '*.',
    '0.0.0.0/0',
    '::/0',
    '10.0.0.0/8',
    'null',
    '~',
    'true',
    '1e9',
    '-1',
    '__proto__',
    'constructor',
    'secrets:',
    'limits:',
    'examples:',
    '\0',
    '\xef\xbb\xbf',
    '\xff',
  ],
  check: input => {
    const parsed = parsePolicy(input.toString('utf8'), 'fuzz');
    if (!parsed.ok) {
      assert.ok(parsed.error.length > 0, 'refused without a problem');
      for (const { message } of parsed.error) assert.ok(message.length > 0);
      return 'problems';
    }
    const compiled = compile([parsed.value]);
    if (!compiled.ok) {
      assert.ok(compiled.error.length > 0, 'refused without a problem');
      return 'problems';
    }
    judge(compiled.value);
    return 'a policy';
  },
};

const VALID = [
  'allow_domain: [a.test, "*.b.test"]\ndeny_domain: [x.b.test]\n',
  'mode: allow_all\nallow_cidr: [{cidr: 10.0.0.0/8, ports: [22, 8000-9000], protocol: tcp}]\n',
  'allow_domain:\n  - domain: a.test\n    methods: [GET]\n    paths: ["/v1/*"]\n    ports: [443]\n',
  'secrets:\n  TOKEN: {hosts: [api.a.test], value_from: {env: TOKEN}, in: [header, "body:json:$.a"]}\nallow_domain: [api.a.test]\n',
  'limits: {max_connections: 5, requests_per_second: 10}\ndns: {mode: forward, servers: ["9.9.9.9"]}\nadd_hosts: {db.test: "10.0.0.5:5432"}\n',
];

function profiles(): Buffer[] {
  const folder = join(packageRoot(), 'policies');
  const files = readdirSync(folder).filter(name => name.endsWith('.yaml'));
  return files.map(name => readFileSync(join(folder, name)));
}

function ruleSets(): Buffer[] {
  return casesOf('domain-match').flatMap(({ allow, deny }) =>
    Array.isArray(allow)
      ? [Buffer.from(JSON.stringify({ allow_domain: allow, deny_domain: deny ?? [] }))]
      : [],
  );
}

function judge(subject: Policy): void {
  for (const [question, floor] of QUESTIONS) {
    const verdict = decide(subject, question);
    if (verdict.allow) assert.ok(verdict.rule.length > 0, 'allowed by no rule');
    else assert.match(verdict.hint, /^[^\0-\x1f\x7f]+$/);
    if (floor)
      assert.ok(!verdict.allow || subject.allowMetadata, 'metadata is dialled without allow_metadata');
  }
}

const QUESTIONS: readonly (readonly [question: Question, floor: boolean])[] = questions();

function questions(): (readonly [Question, boolean])[] {
  const names = ['a.test', 'x.b.test', 'metadata.google.internal', '__proto__'].flatMap(text => {
    const name = parseHostname(text);
    return name.ok ? [name.value] : [];
  });
  const addresses = ['169.254.169.254', 'fd00:ec2::254', '93.184.215.14', '10.0.0.1'].flatMap(text => {
    const read = parseAddress(text);
    return read.ok ? [read.value] : [];
  });
  const list: (readonly [Question, boolean])[] = [];
  for (const address of addresses) {
    const target = { address, port: 443 };
    const floor = address.text === '169.254.169.254' || address.text === 'fd00:ec2::254';
    list.push([{ ask: 'open', host: null, target }, floor]);
    for (const name of names) {
      list.push([{ ask: 'open', host: name, target }, false]);
      list.push([{ ask: 'tls', host: name, target }, false]);
      list.push([{ ask: 'dial', host: { kind: 'name', name }, endpoint: target }, floor]);
    }
  }
  for (const name of names) list.push([{ ask: 'resolve', name }, false]);
  const url = parseUrl('https://a.test/v1/../x?y=%2e');
  if (url.ok) {
    const { authority, path } = url.value;
    for (const method of ['GET', 'POST', 'M-SEARCH'])
      list.push([{ ask: 'request', authority, method, path }, false]);
  }
  return list;
}

/**
 * The policy flags of the command line as one layer on top of the others; its rules are named after their flag.
 *
 * Pure. A secret's value that was given with a flag is handed back beside the document, never in it.
 */
import { type Hostname, parseHostname } from '../core/host.js';
import { err, ok, type Result } from '../core/result.js';
import { parseHostPattern, parseHostPort } from './pattern.js';
import type { CidrRule, DomainRule, HostPin, PolicyDocument, SecretSpec } from './policy.js';
import { type Problem, quoted } from './problem.js';
import {
  ALL_PORTS,
  checkCidr,
  checkSecretHost,
  cidrRule,
  domainRule,
  parseDialTarget,
  WEB_PORTS,
} from './rules.js';

/** Each list holds a flag's values in the order in which they were given. */
export interface PolicyFlags {
  /** `HOST[:PORT]` */
  readonly allow?: readonly string[];
  /** `HOST[:PORT]` */
  readonly deny?: readonly string[];
  readonly allowCidr?: readonly string[];
  readonly denyCidr?: readonly string[];
  /** `NAME=IP[:PORT]` */
  readonly addHost?: readonly string[];
  /** `NAME@host[,host]` or `NAME=VALUE@host[,host]` */
  readonly secret?: readonly string[];
  /** A host whose TLS is passed through by its SNI. */
  readonly passthrough?: readonly string[];
  /** The file of a policy script. */
  readonly script?: string;
}

export interface FlagsLayer {
  readonly document: PolicyDocument;
  /** Values of the secrets that were given as `NAME=VALUE@…`. Never print it. */
  readonly literals: ReadonlyMap<string, string>;
}

type Parsed<T> = Result<T, string>;

/** Every problem names its flag; a message never holds a secret's value. */
export function flagsLayer(flags: PolicyFlags): Result<FlagsLayer, readonly Problem[]> {
  const problems: Problem[] = [];
  const each = <T>(
    flag: string,
    values: readonly string[] | undefined,
    parse: (text: string) => Parsed<T>,
  ): T[] =>
    (values ?? []).flatMap(text => {
      const parsed = parse(text);
      if (parsed.ok) return [parsed.value];
      problems.push({ path: flag, message: parsed.error });
      return [];
    });
  const secrets = each('--secret', flags.secret, parseSecretFlag);
  const document: PolicyDocument = Object.freeze({
    source: 'flags',
    mode: null,
    blockPrivateIps: null,
    allowMetadata: null,
    allowDomain: each('--allow', flags.allow, text => parseDomainFlag('--allow', text)),
    denyDomain: each('--deny', flags.deny, text => parseDomainFlag('--deny', text)),
    allowCidr: each('--allow-cidr', flags.allowCidr, text => parseCidrFlag('--allow-cidr', text)),
    denyCidr: each('--deny-cidr', flags.denyCidr, text => parseCidrFlag('--deny-cidr', text)),
    addHosts: new Map(each('--add-host', flags.addHost, parsePinFlag)),
    dns: {},
    limits: {},
    proxy: null,
    passthrough: each('--passthrough', flags.passthrough, parseHostPattern),
    secrets: secrets.map(({ spec }) => spec),
    script: scriptFlag(flags.script),
    captureBytes: null,
    examples: [],
  });
  if (problems.length > 0) return err(problems);
  const literals = new Map(
    secrets.flatMap(({ spec, value }) => (value === null ? [] : [[spec.name, value] as const])),
  );
  return ok({ document, literals });
}

function scriptFlag(path: string | undefined): PolicyDocument['script'] {
  return path === undefined ? {} : { path };
}

function parseDomainFlag(flag: '--allow' | '--deny', text: string): Parsed<DomainRule> {
  const parsed = parseHostPort(text);
  if (!parsed.ok) return parsed;
  return ok(domainRule(text, `${flag} ${text}`, flag === '--allow' ? WEB_PORTS : ALL_PORTS));
}

function parseCidrFlag(flag: string, text: string): Parsed<CidrRule> {
  const checked = checkCidr(text);
  return checked.ok ? ok(cidrRule(text, `${flag} ${text}`)) : checked;
}

function parsePinFlag(text: string): Parsed<[Hostname, HostPin]> {
  const equals = text.indexOf('=');
  const name = equals > 0 ? parseHostname(text.slice(0, equals)) : null;
  if (!name?.ok) return err(`${quoted(text)} is not NAME=IP[:PORT]`);
  const pin = parseDialTarget(text.slice(equals + 1));
  return pin.ok ? ok([name.value, pin.value]) : pin;
}

/** A value may hold `@`: the hosts stand behind the last one. */
const SECRET_FLAG = /^([A-Za-z_][A-Za-z0-9_]{0,127})(?:=(.*))?@([^@]*)$/s;

function parseSecretFlag(text: string): Parsed<{ spec: SecretSpec; value: string | null }> {
  const match = SECRET_FLAG.exec(text);
  const name = match?.[1];
  // The text may hold the value, so the message shows nothing of it.
  if (match === null || name === undefined) return err('is not NAME@host[,host] or NAME=VALUE@host[,host]');
  const value = match[2] ?? null;
  if (value === '') return err(`the value of ${name} is empty`);
  const hosts: SecretSpec['hosts'][number][] = [];
  for (const text of (match[3] ?? '').split(',')) {
    const checked = checkSecretHost(text);
    const host = checked.ok ? parseHostPort(text) : checked;
    if (!host.ok)
      return err(
        `${name}: ${value === null ? host.error : 'what follows the last @ is not a list of hosts'}`,
      );
    hosts.push(host.value);
  }
  const valueFrom = value === null ? ({ kind: 'env', name } as const) : ({ kind: 'literal' } as const);
  return ok({
    spec: { name, label: `--secret ${name}`, hosts, valueFrom, placeholder: null, allowHttp: false },
    value,
  });
}

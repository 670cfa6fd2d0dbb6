/**
 * The refusals and their hints: one sentence that says what an operator could do.
 *
 * Pure. `subject` is a canonical name or address: nothing of what the sandbox wrote beyond that gets into a hint.
 */
import type { Ask, NearMiss } from './judge.js';
import type { CompiledRule } from './policy.js';
import type { Deny, DenyReason } from './question.js';
import type { AddressKind } from './special.js';

function deny(rule: string | null, reason: DenyReason, hint: string): Deny {
  return { allow: false, rule, reason, hint };
}

/** `host`, `host:5432`, `[v6]:5432`: what the flag `--allow` would take. */
function flagText(subject: string, port: number): string {
  if (port === 0 || port === 80 || port === 443) return subject;
  return subject.includes(':') ? `[${subject}]:${port}` : `${subject}:${port}`;
}

export const denied = {
  noPolicy: (): Deny => deny(null, 'no-policy', 'No policy is loaded: everything is refused until one is.'),

  noRule: (subject: string, port: number): Deny => {
    return deny(null, 'no-rule', `No rule allows ${subject}: --allow ${flagText(subject, port)} would.`);
  },

  byRule: (rule: string, subject: string): Deny =>
    deny(rule, 'deny-rule', `${rule} denies ${subject}; no allow rule outranks it.`),

  ambiguous: (rule: string, subject: string): Deny => {
    const hint = `${rule} decides by path, and two servers could read this path in two ways: ask ${subject} for the plain one.`;
    return deny(rule, 'path-ambiguous', hint);
  },

  near: ({ reason, rule }: NearMiss, subject: string, ask: Ask): Deny => {
    if (reason === 'ambiguous') return denied.ambiguous(rule.label, subject);
    if (reason === 'port') {
      const hint = `${rule.label} allows ${subject} on ${portsText(rule)} only: --allow ${flagText(subject, ask.port)} would add this port.`;
      return deny(rule.label, 'port-not-allowed', hint);
    }
    if (reason === 'method') {
      const methods = [...(rule.methods ?? [])].join(', ');
      return deny(
        rule.label,
        'method-not-allowed',
        `${rule.label} allows only ${methods} to ${subject}: add the method to the rule.`,
      );
    }
    return deny(
      rule.label,
      'path-not-allowed',
      `${rule.label} allows other paths of ${subject} only: add a glob to its paths.`,
    );
  },

  inspected: (rule: string, subject: string): Deny => {
    return deny(
      rule,
      'not-inspectable',
      `${rule} lets ${subject} be reached, and what passes is to be read.`,
    );
  },

  localName: (subject: string): Deny => {
    const hint = `${subject} is only ever a local name: a rule must name it, or --add-host ${subject}=IP give it an address.`;
    return deny(null, 'private-address', hint);
  },

  privateAddress: (subject: string, block: string, kind: AddressKind): Deny => {
    const lift = kind === 'private' ? `--allow-cidr ${subject}` : 'block_private_ips: false';
    return deny(null, 'private-address', `${subject} is ${block}: only ${lift} would allow it.`);
  },

  loopback: (subject: string, block: string): Deny => {
    return deny(
      null,
      'private-address',
      `${subject} is ${block}: only --add-host NAME=${subject} reaches this host, by that name.`,
    );
  },

  metadata: (subject: string): Deny => {
    return deny(
      null,
      'metadata-address',
      `${subject} is a cloud's metadata service: only allow_metadata: true opens it.`,
    );
  },

  gateway: (subject: string, port: number): Deny => {
    return deny(null, 'gateway-address', `${subject} port ${port} is the gateway's own: nothing opens it.`);
  },

  otherAddress: (host: string, subject: string): Deny => {
    return deny(null, 'no-rule', `${subject} is not the address that ${host} stands for.`);
  },
};

function portsText({ ports }: CompiledRule): string {
  const shown = ports.slice(0, 4).map(({ from, to }) => (from === to ? String(from) : `${from}-${to}`));
  const rest = ports.length > shown.length ? ', …' : '';
  return `${ports.length === 1 && shown[0]?.includes('-') !== true ? 'port' : 'ports'} ${shown.join(', ')}${rest}`;
}

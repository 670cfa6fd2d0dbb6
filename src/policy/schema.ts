/**
 * The policy file's shape: one zod schema, from which the JSON Schema is published too.
 *
 * Pure. Leaves are checked by the same functions that later read them, so that one pass over a file finds every
 * problem; what passes here is read again by `document.ts` without a way to fail.
 */
import { z } from 'zod';
import { parseAddress } from '../core/address.js';
import { parseHostname } from '../core/host.js';
import type { Result } from '../core/result.js';
import { parsePathGlob } from './path.js';
import { parseHostPattern, parseHostPort } from './pattern.js';
import { quoted } from './problem.js';
import { type ProxySettings, proxyRoutes } from './proxy-routes.js';
import { DENY_REASONS } from './reasons.js';
import { checkCidr, checkSecretHost, parseByteSize, parseCaptureSize, parseDialTarget } from './rules.js';
import { refresh, sign, valueFrom } from './secret-schema.js';
import { parseSubject } from './subject.js';

/** A string that `parse` accepts; its sentence becomes the problem. */
function text(parse: (value: string) => Result<unknown, string>, description: string): z.ZodString {
  return z
    .string()
    .superRefine((value, context) => {
      const result = parse(value);
      if (!result.ok) context.addIssue({ code: 'custom', message: result.error });
    })
    .describe(description);
}

const hostPattern = text(
  parseHostPattern,
  'example.com, *.example.com (never the apex), *, or an IP address',
);
const hostPort = text(parseHostPort, 'HOST or HOST:PORT');
const hostname = text(value => named(parseHostname(value), value, 'a host name'), 'a host name');
const address = text(value => named(parseAddress(value), value, 'an IP address'), 'an IP address');
const dialTarget = text(parseDialTarget, 'IP or IP:PORT');
const cidr = text(checkCidr, '10.0.0.0/8, 2001:db8::/32, or one address');
const pathGlob = text(parsePathGlob, "a path; '*' stays in a segment, '**' does not");
const method = z.string().regex(/^[A-Z][A-Z0-9-]{0,31}$/, 'a method is a token in upper case, such as GET');
const PORT = 'a port is a whole number from 1 to 65535';
const port = z.int(PORT).min(1, PORT).max(65_535, PORT);
const protocol = z.enum(['tcp', 'udp', 'any']);

const domainRule = z
  .strictObject({
    domain: hostPort,
    port: port.optional(),
    ports: z.array(port).min(1).optional().describe('instead of port'),
    protocol: protocol.optional(),
    methods: z.array(method).min(1).optional(),
    paths: z.array(pathGlob).min(1).optional(),
    tunnel: z
      .boolean()
      .optional()
      .describe('whether bytes that are not HTTP may pass; default: on ports but 80 and 443'),
    script_body: text(parseByteSize, 'what the policy script is shown of a content, as 64KiB').optional(),
  })
  .superRefine((rule, context) => {
    const complain = (key: string, message: string) =>
      context.addIssue({ code: 'custom', path: [key], message });
    const written = parseHostPort(rule.domain);
    if (written.ok && written.value.port !== null && (rule.port ?? rule.ports) !== undefined) {
      complain('domain', `${quoted(rule.domain)} has a port, and 'port' or 'ports' names one too`);
    }
    if (rule.port !== undefined && rule.ports !== undefined)
      complain('ports', `'port' and 'ports' exclude each other`);
    if (rule.tunnel && rule.script_body !== undefined) {
      complain('tunnel', 'what is tunnelled is not read: script_body cannot be kept');
    }
    if (rule.tunnel && (rule.methods ?? rule.paths)) {
      complain('tunnel', 'what is tunnelled is not read: methods and paths cannot be kept');
    }
  });

const cidrRule = z
  .strictObject({
    cidr,
    protocol: protocol.optional(),
    port_start: port.optional(),
    port_end: port.optional(),
  })
  .superRefine((rule, context) => {
    const { port_start: from, port_end: to } = rule;
    if (to !== undefined && from === undefined) {
      context.addIssue({ code: 'custom', path: ['port_end'], message: `'port_end' needs 'port_start'` });
    }
    if (from !== undefined && to !== undefined && to < from) {
      context.addIssue({
        code: 'custom',
        path: ['port_end'],
        message: `port_end ${to} is below port_start ${from}`,
      });
    }
  });

/** The shape alone: `secrets/place` refuses the fields that no value may enter. */
const SECRET_PLACE =
  /^(?:header(?::[!#$%&'*+\-.^_`|~0-9A-Za-z]+)?|basic|query(?::.+)?|path|body(?::json:\$(?:\.[A-Za-z0-9_-]+)+|:form:.+)?|websocket)$/;

const secret = z.strictObject({
  hosts: z.array(text(checkSecretHost, 'HOST or HOST:PORT; the default port is that of the scheme')).min(1, {
    message: 'a secret with no hosts can go nowhere',
  }),
  value_from: valueFrom.optional().describe('default: the environment variable of the same name'),
  placeholder: z
    .string()
    .regex(/^GWPH_[0-9a-f]{32}$/, 'a placeholder is GWPH_ and 32 lower-case hexadecimal digits')
    .optional(),
  allow_http: z.boolean().optional(),
  in: z
    .array(
      z
        .string()
        .regex(
          SECRET_PLACE,
          'is no place for a secret: header[:NAME], basic, query[:NAME], path, body, body:json:$.a.b, body:form:FIELD or websocket',
        ),
    )
    .min(1)
    .optional()
    .describe('default: header and basic; elsewhere a placeholder is left as it is'),
  max_occurrences: z.int().min(1).optional().describe('how often one request may carry it'),
  redact: z.boolean().optional().describe('answers are redacted, value to placeholder; default true'),
  require_placeholder: z
    .boolean()
    .optional()
    .describe('requests to its hosts carry the placeholder, and no credential of the sandbox'),
  on_leak: z
    .enum(['block', 'block-and-stop'])
    .optional()
    .describe('what follows a leak that was refused: nothing more, or the end of the sandbox; default block'),
  refresh: refresh
    .optional()
    .describe('how often the source is asked again; files are watched, and tokens renewed, without it'),
  sign: sign.optional().describe('a key that signs requests on the host, and stands in none'),
});

const dns = z.strictObject({
  mode: z.enum(['synthetic', 'forward']).optional(),
  servers: z.array(dialTarget).optional(),
  search_domains: z.array(hostname).optional(),
  block_private: z.boolean().optional(),
});

const count = z.int().min(1);

const limits = z.strictObject({
  max_egress_bps: count.optional().describe('bytes a second from the sandbox, all its flows together'),
  max_ingress_bps: count.optional().describe('bytes a second to the sandbox'),
  max_connections: count.optional().describe('flows open at a time'),
  requests_per_second: count.optional(),
  max_request_head_bytes: z.int().min(256).max(65_536).optional().describe('default 65536'),
  max_request_body_bytes: count.optional(),
  max_response_body_bytes: count.optional(),
  upstream_head_ms: count.optional().describe('from the last byte of a request to the head of its answer'),
  idle_ms: count.optional().describe('longest silence while content is on its way'),
});

const proxy = z
  .strictObject({
    http_proxy: z.string().optional().describe('http://[user:password@]host[:port], for plain http'),
    https_proxy: z.string().optional().describe('for https and for tunnels'),
    no_proxy: z
      .array(z.string())
      .optional()
      .describe('hosts, addresses and blocks that are dialled directly'),
    enforce: z.boolean().optional().describe('nothing is dialled directly but what add_hosts pins'),
  })
  .superRefine((value, context) => {
    const routes = proxyRoutes(proxySettings(value));
    if (!routes.ok) context.addIssue({ code: 'custom', message: routes.error });
  });

type ProxyInput = { readonly [K in 'http_proxy' | 'https_proxy']?: string | undefined } & {
  readonly no_proxy?: readonly string[] | undefined;
  readonly enforce?: boolean | undefined;
};

export function proxySettings({ http_proxy, https_proxy, no_proxy, enforce }: ProxyInput): ProxySettings {
  return {
    httpProxy: http_proxy ?? null,
    httpsProxy: https_proxy ?? null,
    noProxy: no_proxy ?? [],
    enforce: enforce ?? false,
  };
}

const example = z
  .strictObject({
    url: text(value => parseSubject('url', value), 'an http or https URL').optional(),
    connect: text(value => parseSubject('connect', value), 'HOST:PORT').optional(),
    method: method.optional(),
    resolves_to: z.array(address).min(1).optional(),
    expect: z.enum(['allow', 'deny']),
    reason: z.enum(DENY_REASONS).optional(),
    rule: z.string().optional(),
  })
  .superRefine((value, context) => {
    if ((value.url === undefined) === (value.connect === undefined)) {
      context.addIssue({ code: 'custom', message: `has exactly one of 'url' and 'connect'` });
    }
  });

const capture = z.strictObject({
  bodies: text(parseCaptureSize, 'how much of each content, as 64KiB; at most 256KiB').optional(),
});

const domainEntries = z.array(z.union([hostPort, domainRule])).optional();
const cidrEntries = z.array(z.union([cidr, cidrRule])).optional();

const script = z.strictObject({
  timeout_ms: z.int().min(1).max(10_000).optional().describe('longest run of one call; default 50'),
  memory_mb: z.int().min(16).max(256).optional().describe('default 16'),
});

/** A whole file. Every key is optional; a key that is not here is an error. */
export const policySchema = z.strictObject({
  version: z.literal(1).optional(),
  mode: z
    .enum(['block_all', 'allow_all', 'shadow'])
    .optional()
    .describe(
      'what happens to what no rule names; default block_all. shadow: rules refuse nothing, and say what they would',
    ),
  allow_domain: domainEntries,
  deny_domain: domainEntries,
  allow_cidr: cidrEntries,
  deny_cidr: cidrEntries,
  allowed_hosts: z.array(hostPattern).optional().describe('allow_domain on ports 80 and 443'),
  block_private_ips: z.boolean().optional().describe('default true'),
  allow_metadata: z.boolean().optional().describe('default false'),
  add_hosts: z.record(hostname, dialTarget).optional().describe("the operator's own address for a name"),
  dns: dns.optional(),
  dns_servers: z.array(dialTarget).optional().describe('dns.servers'),
  limits: limits.optional().describe('what one sandbox may use'),
  proxy: proxy.optional().describe("the operator's own proxy, for networks that have no other way out"),
  tls: z.strictObject({ passthrough: z.array(hostPattern).optional() }).optional(),
  secrets: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'is not the name of an environment variable'),
      secret,
    )
    .optional(),
  policy_script: z
    .string()
    .min(1)
    .regex(/\.m?[jt]s$/, 'a script ends in .js or .ts')
    .optional()
    .describe('a script that is asked after the rules, relative to this file'),
  script: script.optional().describe('what the script may use'),
  capture: capture.optional().describe('contents that are put on record, redacted; default none'),
  examples: z.array(example).optional(),
});

export type PolicyInput = z.infer<typeof policySchema>;

/** The JSON Schema of a policy file (draft 2020-12), for editors. */
export function policyJsonSchema(): object {
  return { title: 'Sallyport policy', ...z.toJSONSchema(policySchema, { io: 'input' }) };
}

function named(result: Result<unknown, string>, value: string, what: string): Result<unknown, string> {
  return result.ok ? result : { ok: false, error: `${quoted(value)} is not ${what} (${result.error})` };
}

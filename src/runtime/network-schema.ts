/** The shape of a sandbox's network in a file: the policy's own fields, and what is a machine's. Pure. */
import { z } from 'zod';
import { parseAddress } from '../core/address.js';
import { parseHostname } from '../core/host.js';
import { PROFILES } from '../policy/load.js';
import { policySchema } from '../policy/schema.js';

const { allowed_hosts, block_private_ips, dns_servers, secrets, policy_script } = policySchema.shape;

const address = z.string().refine(text => parseAddress(text).ok, { message: 'is not an IP address' });
const hostname = z.string().refine(text => parseHostname(text).ok, { message: 'is not a host name' });
/** `192.0.2.10/24` */
function isInterfaceAddress(text: string): boolean {
  const [address = '', length = '', ...rest] = text.split('/');
  return (
    rest.length === 0 &&
    z.ipv4().safeParse(address).success &&
    /^\d{1,2}$/.test(length) &&
    Number(length) <= 32
  );
}

const port = z.int().min(1).max(65_535);

export const portForward = z.strictObject({
  host_ip: address.optional(),
  host_port: z.int().min(0).max(65_535),
  guest_port: port,
  protocol: z.enum(['tcp', 'udp']).optional(),
});

const secret = secrets
  .unwrap()
  .valueType.extend({ value: z.string().min(1, 'a value is not empty').optional() })
  .superRefine((spec, context) => {
    if (spec.value === undefined || spec.value_from === undefined) return;
    context.addIssue({
      code: 'custom',
      path: ['value_from'],
      message: "'value' and 'value_from' exclude each other",
    });
  });

const shape = z.strictObject({
  enabled: z.boolean().optional(),
  mode: z.enum(['disabled', 'nat', 'bridged']).optional(),
  profile: z.enum(PROFILES).optional(),
  policy_files: z.array(z.string().min(1)).optional(),
  policy: policySchema.optional(),
  port_forwards: z.array(portForward).optional(),
  isolate_from_host_lan: z.boolean().optional(),
  allowed_hosts,
  block_private_ips,
  secrets: z.record(secrets.unwrap().keyType, secret).optional(),
  policy_script,
  upstream_ca: z.array(z.string().min(1)).optional(),
  dns_servers,
  search_domains: z.array(hostname).optional(),
  add_hosts: z.array(z.strictObject({ host: hostname, ip: address })).optional(),
  hostname: hostname.optional(),
  mtu: z.int().min(1280, 'IPv6 needs 1280').max(65_520).optional(),
  bridge: z
    .string()
    .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/, 'is not the name of an interface')
    .optional(),
  address: z.string().refine(isInterfaceAddress, { message: 'is not ADDRESS/LENGTH of IPv4' }).optional(),
  router: z.ipv4('is not an IPv4 address').optional(),
});

type NetworkInput = z.infer<typeof shape>;

export const networkSchema = shape.superRefine((network, context) => {
  const complain = (path: (string | number)[], message: string): void =>
    context.addIssue({ code: 'custom', path, message });
  const off = network.enabled === false || network.mode === 'disabled';
  if (network.enabled === true && network.mode === 'disabled')
    complain(['mode'], 'enabled: true says otherwise');
  if (off && (network.port_forwards ?? []).length > 0) {
    complain(['port_forwards'], 'without a network there is nothing to forward to');
  }
  const isBridged = network.mode === 'bridged' && !off;
  for (const key of ['bridge', 'address', 'router'] as const) {
    if (network[key] !== undefined && !isBridged) complain([key], 'is for mode: bridged');
  }
  for (const key of ['port_forwards', 'isolate_from_host_lan'] as const) {
    const given = key === 'port_forwards' ? (network[key] ?? []).length > 0 : network[key] === true;
    if (given && isBridged) complain([key], 'is the gateway’s, and a bridged machine is past it');
  }
  for (const index of repeated(network.port_forwards ?? [])) {
    complain(['port_forwards', index], 'this port of the host is taken by one before it');
  }
});

/** Indexes of forwards whose port of the host another has; port 0 is a new one each time. */
function repeated(forwards: NonNullable<NetworkInput['port_forwards']>): readonly number[] {
  const taken = new Set<string>();
  return forwards.flatMap(({ host_ip = '127.0.0.1', host_port, protocol = 'tcp' }, index) => {
    const key = `${host_ip} ${host_port} ${protocol}`;
    const again = host_port !== 0 && taken.has(key);
    taken.add(key);
    return again ? [index] : [];
  });
}

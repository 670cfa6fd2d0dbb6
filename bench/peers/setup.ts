/** What the gateway is given to judge by, in every bench: 100 rules, ten secrets, or nothing of it. Pure. */
import { FILES_HOST, SINK_HOST, VISITED_HOSTS, visitedHost } from '../load/command.js';
import { FILES_PORT, SINK_PORT } from './peer.js';

export const VALUE = 'bench-token-0123456789abcdef0123456789abcdef';
const RULES = 100;
const SECRETS = 10;

export interface PolicySetting {
  /** First of the bench's ports. */
  readonly port: number;
  /** False: everything is allowed, and there is no secret. */
  readonly all: boolean;
  /** Secrets may leave without TLS. */
  readonly allowHttp?: boolean;
}

/** The values of the secrets, by name. */
export function literalsOf(): ReadonlyMap<string, string> {
  const values = new Map([['BENCH_TOKEN', VALUE]]);
  for (let number = 1; number < SECRETS; number++) values.set(`OTHER_${number}`, `${number}-${VALUE}`);
  return values;
}

export function policyOf({ port, all, allowHttp = false }: PolicySetting): object {
  const files = `127.0.0.1:${port + FILES_PORT}`;
  const hosts = [
    [FILES_HOST, files],
    [SINK_HOST, `127.0.0.1:${port + SINK_PORT}`],
    ...Array.from({ length: VISITED_HOSTS }, (_, number) => [visitedHost(number), files]),
  ];
  const pins = { add_hosts: Object.fromEntries(hosts) };
  if (!all) return { mode: 'allow_all', ...pins };
  const others = Array.from(
    { length: SECRETS - 1 },
    (_, number) => [`OTHER_${number + 1}`, { hosts: [`api${number + 1}.example.com`] }] as const,
  );
  return {
    mode: 'block_all',
    ...pins,
    allow_domain: [
      // A secret for a host that no rule allows is refused at load.
      ...others.flatMap(([, { hosts }]) => hosts),
      ...Array.from({ length: RULES - 10 - SECRETS }, (_, number) =>
        number % 3 === 0
          ? { domain: `*.team${number}.example.com`, methods: ['GET'], paths: ['/v1/**'] }
          : `host${number}.example.com`,
      ),
      '*.bench.test',
    ],
    deny_domain: Array.from({ length: 10 }, (_, number) => `*.denied${number}.example.com`),
    secrets: Object.fromEntries([
      ['BENCH_TOKEN', { hosts: ['*.bench.test'], ...(allowHttp && { allow_http: true }) }],
      ...others,
    ]),
  };
}

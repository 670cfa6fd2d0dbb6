/**
 * The gateway's own resolver: the host's hosts file, then name servers, A and AAAA side by side.
 *
 * A shell: it reads /etc/hosts and /etc/resolv.conf, again when they change. Only a `Hostname` comes in, so no
 * stranger's string reaches a resolver, and none is ever handed to libc.
 */
import { readFile, stat } from 'node:fs/promises';
import type { Endpoint, IpAddress } from '../core/address.js';
import { type Clock, systemClock } from '../core/clock.js';
import { errorCode, GatewayError } from '../core/errors.js';
import { createCachedLookUp } from './cached-look-up.js';
import { type ClientOptions, createLookUp } from './client.js';
import { parseHosts, parseNameServers } from './hosts-file.js';
import type { LookUp } from './look-up.js';
import type { Resolver } from './resolver.js';

export interface SystemResolverOptions {
  /** The policy's `dns.servers`, asked anew for each look-up; none: those of resolv.conf. */
  readonly servers: () => readonly Endpoint[];
  readonly clock?: Clock;
  readonly client?: ClientOptions;
  readonly hostsPath?: string;
  readonly resolvConfPath?: string;
}

export interface SystemResolver extends Resolver {
  /** The client below, cached: where it is given no servers, it asks those of the host. For the forward mode. */
  readonly lookUp: LookUp;
}

export function createSystemResolver(options: SystemResolverOptions): SystemResolver {
  const hosts = watchedFile(options.hostsPath ?? '/etc/hosts', parseHosts);
  const hostServers = watchedFile(options.resolvConfPath ?? '/etc/resolv.conf', parseNameServers);
  const client = createCachedLookUp(createLookUp(options.client), options.clock ?? systemClock);
  const lookUp: LookUp = async (name, family, servers, signal) =>
    client(name, family, servers.length > 0 ? servers : await hostServers(), signal);

  return {
    lookUp,
    resolve: async (name, signal) => {
      const pinned = (await hosts().catch(rethrow)).get(name);
      if (pinned !== undefined) return pinned;
      const servers = options.servers();
      const families = [4, 6] as const;
      const answers = await Promise.allSettled(families.map(family => lookUp(name, family, servers, signal)));
      const addresses = answers.flatMap(addressesOf);
      if (addresses.length > 0) return addresses;
      const failed = answers.find(answer => answer.status === 'rejected');
      if (failed !== undefined) throw asResolveFailed(failed.reason);
      throw new GatewayError('RESOLVE_FAILED', `${name} has no address`);
    },
  };
}

/** One family that failed is no address of that family: each address that is left is still judged before a dial. */
function addressesOf(answer: PromiseSettledResult<Awaited<ReturnType<LookUp>>>): readonly IpAddress[] {
  return answer.status === 'fulfilled' && answer.value.kind === 'addresses' ? answer.value.addresses : [];
}

function rethrow(cause: unknown): never {
  throw asResolveFailed(cause);
}

function asResolveFailed(cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause;
  return new GatewayError('RESOLVE_FAILED', `the look-up failed: ${errorCode(cause)}`, { cause });
}

/** What `parse` makes of a file, read anew when its time or size has changed. A file that is not there is empty. */
function watchedFile<T>(path: string, parse: (text: string) => T): () => Promise<T> {
  let version = '';
  let value = parse('');
  return async () => {
    const found = await stat(path, { bigint: true }).catch(() => null);
    const seen = found === null ? '' : `${found.ino} ${found.mtimeNs} ${found.size}`;
    if (seen !== version) {
      value = parse(found === null ? '' : await readFile(path, 'utf8'));
      version = seen;
    }
    return value;
  };
}

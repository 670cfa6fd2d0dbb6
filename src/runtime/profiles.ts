/** Networks by their names: the built-in policies of `policies/`, for a sandbox. Pure. */
import type { NetworkConfig, NetworkProfile } from '../vm/index.js';

/** Nothing passes but what else the configuration names. */
export function strictNetworkProfile(): NetworkConfig {
  return profileOf('strict');
}

/** What building software needs, for reading. */
export function balancedNetworkProfile(): NetworkConfig {
  return profileOf('balanced');
}

/** Everything public passes, and is seen. */
export function openNetworkProfile(): NetworkConfig {
  return profileOf('open');
}

export function profileOf(profile: NetworkProfile): NetworkConfig {
  return { enabled: true, mode: 'nat', profile, blockPrivateIps: true, isolateFromHostLan: true };
}

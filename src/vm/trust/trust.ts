/**
 * What makes programs in the sandbox accept the gateway's certificate authority, with nothing set by the user.
 *
 * Pure. Two ways at once: the host's bundles are covered by copies that hold the authority too (what most programs
 * read), and variables point at a merged bundle (for those that bring their own: Python's certifi, Node, Deno, npm).
 */
import type { DataFile } from '../command.js';
import { certificatesOf, emitJks } from './jks.js';

export interface Trust {
  readonly files: readonly DataFile[];
  readonly env: ReadonlyMap<string, string>;
}

/** What the host has, read by `host-trust.ts`. */
export interface HostTrust {
  /** PEM bundles by path, the main one first. */
  readonly bundles: ReadonlyMap<string, string>;
  /** Paths of Java's trust stores. */
  readonly javaStores: readonly string[];
}

/** In a folder of the sandbox's own, so that they exist whatever the host looks like. */
export const CA_FILE = '/run/sallyport/ca.pem';
export const BUNDLE_FILE = '/run/sallyport/ca-bundle.pem';

/** apt as root would change to a user of its own, whom the sandbox's user namespace does not have. */
export const APT_FILE = '/run/sallyport/apt.conf';
const APT_CONFIG = 'APT::Sandbox::User "root";\n';

/** Variables that name a bundle which replaces the program's own. */
const BUNDLE_VARIABLES = [
  'SSL_CERT_FILE', // OpenSSL, and with it Python, Ruby, PHP; Go; rustls-native-certs; uv
  'CURL_CA_BUNDLE',
  'GIT_SSL_CAINFO',
  'REQUESTS_CA_BUNDLE', // Python requests
  'HTTPLIB2_CA_CERTS',
  'PIP_CERT',
  'AWS_CA_BUNDLE',
  'CARGO_HTTP_CAINFO',
  'DENO_CERT',
  'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH',
  'BUNDLE_SSL_CA_CERT', // Ruby's bundler
  'COMPOSER_CAFILE',
  'PERL_LWP_SSL_CA_FILE',
  'CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE',
  'HEX_CACERTS_PATH',
  'NIX_SSL_CERT_FILE',
  'npm_config_cafile',
  'YARN_HTTPS_CA_FILE_PATH',
];

/** Variables that name certificates to be added to the program's own. */
const EXTRA_VARIABLES = ['NODE_EXTRA_CA_CERTS'];

export function planTrust(caPem: string, { bundles, javaStores }: HostTrust): Trust {
  const [main = ''] = bundles.values();
  const merged = Buffer.from(append(main, caPem));
  const pemFiles = [...bundles].map(([path, pem]) => ({ path, content: Buffer.from(append(pem, caPem)) }));
  const store = javaStores.length > 0 ? emitJks(certificatesOf(append(main, caPem))) : merged;
  return {
    files: [
      { path: CA_FILE, content: Buffer.from(caPem) },
      { path: BUNDLE_FILE, content: merged },
      { path: APT_FILE, content: Buffer.from(APT_CONFIG) },
      ...pemFiles,
      ...javaStores.map(path => ({ path, content: store })),
    ],
    env: new Map([
      ...BUNDLE_VARIABLES.map(name => [name, BUNDLE_FILE] as const),
      ...EXTRA_VARIABLES.map(name => [name, CA_FILE] as const),
      ['APT_CONFIG', APT_FILE],
    ]),
  };
}

/** A bundle that does not end its last line would swallow our first. One of a root that is kept may hold it already. */
function append(bundle: string, caPem: string): string {
  if (bundle.includes(caPem)) return bundle;
  return bundle === '' || bundle.endsWith('\n') ? bundle + caPem : `${bundle}\n${caPem}`;
}

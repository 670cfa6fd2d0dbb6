/**
 * What makes programs in a guest accept the gateway's certificate authority, whatever the guest is made of.
 *
 * The bundles that are there get the authority added, and where a distribution collects its own, it is laid too, so that
 * the next collection keeps it. Only the certificate: the key never leaves the gateway.
 */
import type { DataFile } from '../command.js';
import { BUNDLES, JAVA_STORES } from './places.js';
import { planTrust } from './trust.js';

/** A guest's files, links resolved inside it. */
export interface GuestPlaces {
  /** Those of `paths` where something is; a `*` in one stands for every name of a folder. */
  existing(paths: readonly string[]): Promise<readonly string[]>;
  readFile(path: string): Promise<Uint8Array>;
}

/** Where `update-ca-certificates` (Debian, Alpine, SUSE) and `update-ca-trust` (Fedora, Arch) look for more. */
const ANCHORS = [
  '/usr/local/share/ca-certificates',
  '/etc/pki/ca-trust/source/anchors',
  '/usr/share/pki/trust/anchors',
  '/etc/ca-certificates/trust-source/anchors',
];

/** Python's own bundles; a `*` stands for every name of a folder. */
const PYTHON_BUNDLES = [
  '/usr/lib/python3/dist-packages/certifi/cacert.pem',
  '/usr/lib/*/site-packages/certifi/cacert.pem',
  '/usr/local/lib/*/site-packages/certifi/cacert.pem',
  '/usr/local/lib/*/site-packages/pip/_vendor/certifi/cacert.pem',
  '/usr/lib/*/site-packages/pip/_vendor/certifi/cacert.pem',
];

const JAVA_IN_GUEST = [
  ...JAVA_STORES,
  ...['/usr/lib/jvm/*', '/opt/java/*', '/usr/java/*'].flatMap(home => [
    `${home}/lib/security/cacerts`,
    `${home}/jre/lib/security/cacerts`,
  ]),
  '/opt/java/openjdk/lib/security/cacerts',
];

export interface GuestTrust {
  readonly files: readonly DataFile[];
  readonly env: ReadonlyMap<string, string>;
}

/** Looks at the guest, and says what to lay there. */
export async function guestTrust(caPem: string, guest: GuestPlaces): Promise<GuestTrust> {
  const there = new Set(await guest.existing([...BUNDLES, ...PYTHON_BUNDLES, ...JAVA_IN_GUEST, ...ANCHORS]));
  const java = new Set([...there].filter(path => path.endsWith('/cacerts')));
  const anchors = ANCHORS.filter(path => there.has(path));
  const pems = [...there].filter(path => !java.has(path) && !anchors.includes(path));
  // The main one first: it is what the merged bundle is made of.
  const ordered = [
    ...BUNDLES.filter(path => there.has(path)),
    ...pems.filter(path => !BUNDLES.includes(path)),
  ];
  const bundles = new Map<string, string>();
  for (const path of ordered) bundles.set(path, Buffer.from(await guest.readFile(path)).toString('latin1'));
  const { files, env } = planTrust(caPem, { bundles, javaStores: [...java] });
  return {
    files: [
      ...files,
      ...anchors.map(folder => ({ path: `${folder}/sallyport.crt`, content: Buffer.from(caPem) })),
    ],
    env,
  };
}

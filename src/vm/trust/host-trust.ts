/** Where the host keeps the authorities that it trusts (shell: reads its files). */
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findProgram } from '../../net/vestibule/index.js';
import { hostFiles, readHostText } from '../process/host.js';
import { BUNDLES, JAVA_STORES } from './places.js';
import { type HostTrust, planTrust, type Trust } from './trust.js';

/** Folders whose children are Java homes. */
const JAVA_FOLDERS = ['/usr/lib/jvm', '/opt/java', '/usr/java'];
/** Where the store is in a Java home, in a JDK 8 one. */
const STORE_IN_HOME = ['lib/security/cacerts', 'jre/lib/security/cacerts'];

/** The trust of `caPem` (PEM, one certificate) on this host. */
export async function trustFor(caPem: string): Promise<Trust> {
  return planTrust(caPem, readHostTrust());
}

function readHostTrust(): HostTrust {
  const bundles = new Map<string, string>();
  for (const path of BUNDLES) {
    const pem = readHostText(path);
    if (pem !== null) bundles.set(path, pem);
  }
  return { bundles, javaStores: findJavaStores() };
}

function findJavaStores(): readonly string[] {
  const java = hostFiles.realpath(findProgram('java', process.env.PATH) ?? '/nowhere');
  const homes = [
    ...JAVA_FOLDERS.flatMap(folder => childrenOf(folder)),
    ...(java === null ? [] : [dirname(dirname(java))]),
    ...(process.env.JAVA_HOME === undefined ? [] : [process.env.JAVA_HOME]),
  ];
  const stores = [...JAVA_STORES, ...homes.flatMap(home => STORE_IN_HOME.map(path => join(home, path)))];
  const real = stores.map(path => hostFiles.realpath(path)).filter(path => path !== null);
  return [...new Set(real)];
}

function childrenOf(folder: string): readonly string[] {
  try {
    return readdirSync(folder).map(name => join(folder, name));
  } catch {
    return []; // no such folder: no Java there
  }
}

/** Where distributions keep the authorities that they trust. Pure: lists of paths. */

/** Bundles by distribution; links among them are followed when they are covered. */
export const BUNDLES: readonly string[] = [
  '/etc/ssl/certs/ca-certificates.crt', // Debian, Ubuntu, Alpine, Arch, Gentoo
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem', // Fedora, RHEL
  '/etc/pki/tls/certs/ca-bundle.crt', // Fedora's older name
  '/etc/pki/tls/cert.pem', // what its OpenSSL reads
  '/etc/ssl/cert.pem', // Alpine's OpenSSL
  '/etc/ssl/ca-bundle.pem', // SUSE
  '/etc/ca-certificates/extracted/tls-ca-bundle.pem', // Arch
];

export const JAVA_STORES: readonly string[] = [
  '/etc/ssl/certs/java/cacerts',
  '/etc/pki/ca-trust/extracted/java/cacerts',
];

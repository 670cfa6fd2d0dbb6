/** node-forge's ASN.1 writer alone: the whole library takes three times as long to load. */
declare module 'node-forge/lib/asn1.js' {
  import type forge from 'node-forge';

  const asn1: typeof forge.asn1;
  export default asn1;
}

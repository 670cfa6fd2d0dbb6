// Shared by the scripts of this folder: a script may import what lies beside it.
const REGISTRIES = new Set([
  'registry.npmjs.org',
  'pypi.org',
  'files.pythonhosted.org',
  'index.crates.io',
  'static.crates.io',
]);

export const isRegistry = (/** @type {string} */ host) => REGISTRIES.has(host);

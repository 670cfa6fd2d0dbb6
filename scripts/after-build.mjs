// Bundles the command line over its compiled files: loading two hundred small modules costs a fifth of a second, which
// every `sallyport run` would pay. The library (dist/api) stays as the compiler wrote it.
import { chmodSync, copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const dist = join(import.meta.dirname, '..', 'dist');
await build({
  // The supervisor of a sandbox is a command line of its own, which the library starts too.
  entryPoints: { main: join(dist, 'cli', 'main.js'), supervise: join(dist, 'runtime', 'supervise.js') },
  outdir: join(dist, 'cli'),
  allowOverwrite: true,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  chunkNames: 'chunk-[hash]',
  // Native code is found relative to its own package.
  external: ['koffi'],
  banner: {
    js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
// The thread of policy scripts is one file too: it is started for each sandbox that has one.
await build({
  entryPoints: [join(dist, 'script', 'worker.js')],
  outdir: join(dist, 'script'),
  allowOverwrite: true,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  minifyWhitespace: true,
  minifySyntax: true,
  mainFields: ['module', 'main'],
  external: ['@swc/wasm-typescript'],
  banner: {
    js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
// Warden and forwarder are found beside the file that starts them.
copyFileSync(join(dist, 'net', 'vestibule', 'warden.cjs'), join(dist, 'cli', 'warden.cjs'));
copyFileSync(join(dist, 'net', 'forwards', 'forwarder.cjs'), join(dist, 'cli', 'forwarder.cjs'));
chmodSync(join(dist, 'cli', 'main.js'), 0o755);

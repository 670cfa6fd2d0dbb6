// mockttp passing everything through, names resolved to loopback.
//     node mockttp.mjs MODULES PORT CA KEY UPSTREAM-CA
import dns from 'node:dns';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [modules = '', port = '', certPath = '', keyPath = '', upstreamCa = ''] = process.argv.slice(2);
resolveToLoopback();
const { getLocal } = createRequire(join(modules, 'index.js'))('mockttp');
const server = getLocal({ https: { certPath, keyPath }, recordTraffic: false });
await server.forAnyRequest().thenPassThrough({
  // Renamed between versions.
  trustAdditionalCAs: [{ cert: readFileSync(upstreamCa, 'utf8') }],
  additionalTrustedCAs: [{ cert: readFileSync(upstreamCa, 'utf8') }],
});
await server.start(Number(port));

function resolveToLoopback() {
  dns.lookup = (_name, options, callback) => {
    const done = callback ?? options;
    if (options?.all) done(null, [{ address: '127.0.0.1', family: 4 }]);
    else done(null, '127.0.0.1', 4);
  };
  dns.promises.lookup = async (_name, options) =>
    options?.all ? [{ address: '127.0.0.1', family: 4 }] : { address: '127.0.0.1', family: 4 };
}

// http-mitm-proxy passing everything through, names resolved to loopback.
//     node http-mitm-proxy.mjs MODULES PORT HOME UPSTREAM-CA
import dns from 'node:dns';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [modules = '', port = '', home = '', upstreamCa = ''] = process.argv.slice(2);
dns.lookup = (_name, options, callback) => {
  const done = callback ?? options;
  if (options?.all) done(null, [{ address: '127.0.0.1', family: 4 }]);
  else done(null, '127.0.0.1', 4);
};
const library = createRequire(join(modules, 'index.js'))('http-mitm-proxy');
const proxy = new library.Proxy();
proxy.onError(() => undefined);
const httpsAgent = new https.Agent({ keepAlive: true, ca: readFileSync(upstreamCa) });
proxy.listen({ port: Number(port), host: '127.0.0.1', sslCaDir: home, keepAlive: true, httpsAgent });

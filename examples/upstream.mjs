// The examples' HTTPS server: `node upstream.mjs FOLDER` reads key.pem and ca.pem there, and writes its port to `port`.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';

const [folder] = process.argv.slice(2);
const read = name => readFileSync(join(folder, name));
const server = createServer({ key: read('key.pem'), cert: read('ca.pem') }, (request, response) => {
  const { authorization = 'none', host } = request.headers;
  console.log(`   upstream: I was sent authorization: ${authorization}`);
  response.end(`${request.method} ${request.url} at ${host}, authorization: ${authorization}\n`);
});
server.listen(0, '127.0.0.1', () => {
  writeFileSync(join(folder, 'port.new'), `${server.address().port}`);
  renameSync(join(folder, 'port.new'), join(folder, 'port'));
});

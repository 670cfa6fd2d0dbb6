/**
 * The upstream of uploads: 200 with nothing for exactly the pattern, 400 for anything else (shell: an HTTPS server).
 *
 *     node sink.js PORT CERT KEY
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { makePattern, PatternCheck } from './load/pattern.js';

const [port = '', cert = '', key = ''] = process.argv.slice(2);
const pattern = makePattern();
const options = {
  cert: readFileSync(cert),
  key: readFileSync(key),
  requestTimeout: 0,
  // No peer's second upload may find its pooled connection closed.
  keepAliveTimeout: 300_000,
  highWaterMark: 1 << 18,
};

createServer(options, (request, response) => {
  const check = new PatternCheck(pattern);
  const told = request.headers['content-length'];
  request.on('data', (piece: Buffer) => check.push(piece));
  request.on('error', () => response.destroy());
  request.on('end', () => {
    const whole = told === undefined ? check.bytes > 0 : check.bytes === Number(told);
    response.writeHead(check.good && whole && request.complete ? 200 : 400, { 'Content-Length': '0' });
    response.end();
  });
}).listen(Number(port), '127.0.0.1');

import { readConnection } from '../../../src/proxy/http1/connection-options.js';
import { readFields } from '../../../src/proxy/http1/fields.js';

function read(...lines: string[]) {
  const section = readFields(`${lines.join('\r\n')}\r\n\r\n`, 0, 100);
  if (!section.ok) throw new Error(section.error);
  return { section: section.value, options: readConnection(section.value) };
}

test.each(['close', 'Keep-Alive', 'close, x-absent'])(
  'Connection: %s gives the list of fields as it is',
  value => {
    const { section, options } = read(`Connection: ${value}`, 'Accept: */*');
    expect(options.ok && options.value.endToEnd).toBe(section.endToEnd);
  },
);

test('a field that Connection nominates is left out, whatever its case', () => {
  const { section, options } = read('Connection: close, x-hop', 'X-Hop: 1', 'Accept: */*', 'x-hop: 2');
  expect(options.ok && options.value).toEqual({ close: true, upgrade: false, endToEnd: [['Accept', '*/*']] });
  expect(section.endToEnd).toHaveLength(3);
});

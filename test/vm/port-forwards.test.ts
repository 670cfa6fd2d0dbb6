import { parsePublish } from '../../src/vm/port-forwards.js';

test.each([
  ['8080:80', { hostIp: '127.0.0.1', hostPort: 8080, guestPort: 80, protocol: 'tcp' }],
  ['0:53/udp', { hostIp: '127.0.0.1', hostPort: 0, guestPort: 53, protocol: 'udp' }],
  ['0.0.0.0:1:2/tcp', { hostIp: '0.0.0.0', hostPort: 1, guestPort: 2, protocol: 'tcp' }],
  ['[::1]:1:2', { hostIp: '::1', hostPort: 1, guestPort: 2, protocol: 'tcp' }],
])('parsePublish reads %s', (text, want) => {
  expect(parsePublish(text)).toEqual(want);
});

test.each(['', '80', 'a:b', '1:0', '70000:1', '1:70000', '1:2/any', '999.0.0.1:1:2', 'host:1:2', '1:2:3:4'])(
  'parsePublish refuses %p',
  text => {
    expect(() => parsePublish(text)).toThrow('is not [IP:]HOSTPORT:GUESTPORT');
  },
);

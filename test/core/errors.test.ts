import { EventEmitter } from 'node:events';
import { ignore, ignoreErrors } from '../../src/core/errors.js';

test('ignoreErrors hears the errors of a socket once, however often it is asked', () => {
  const socket = new EventEmitter();
  ignoreErrors(socket);
  ignoreErrors(socket);
  expect(socket.listeners('error')).toEqual([ignore]);
  expect(() => socket.emit('error', new Error('reset'))).not.toThrow();
});

test('ignoreErrors asks beside hearers of another kind, who may leave', () => {
  const socket = new EventEmitter();
  const other = jest.fn();
  socket.on('error', other);
  ignoreErrors(socket);
  socket.off('error', other);
  expect(() => socket.emit('error', new Error('reset'))).not.toThrow();
});

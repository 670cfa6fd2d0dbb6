import { GatewayError } from '../../src/core/errors.js';
import { ErrTimeout, ErrVMNotFound } from '../../src/vm/errors.js';

test('a named error is a GatewayError with its code, and has a sentence of its own', () => {
  const error = new ErrVMNotFound();
  expect(error).toBeInstanceOf(GatewayError);
  expect(error).toMatchObject({ code: 'VM_NOT_FOUND', message: 'VM not found' });
});

test('instanceof asks for the code, whoever made the error', () => {
  expect(new GatewayError('TIMEOUT', 'too late') instanceof ErrTimeout).toBe(true);
  expect(Object.assign(new Error('from another realm'), { code: 'TIMEOUT' }) instanceof ErrTimeout).toBe(
    true,
  );
  expect(new GatewayError('VM_NOT_FOUND', 'none') instanceof ErrTimeout).toBe(false);
  expect((undefined as unknown) instanceof ErrTimeout).toBe(false);
});

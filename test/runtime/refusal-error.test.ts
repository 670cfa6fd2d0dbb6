import { errorOfRefusal } from '../../src/runtime/refusal-error.js';
import { allowedBody, numbered, refusedBody } from '../support/events.js';

test.each([
  ['no-rule', 'HOST_NOT_ALLOWED'],
  ['port-not-allowed', 'HOST_NOT_ALLOWED'],
  ['deny-rule', 'BLOCKED'],
  ['no-policy', 'HOST_NOT_ALLOWED'],
  ['method-not-allowed', 'BLOCKED'],
  ['private-address', 'BLOCKED'],
  ['metadata-address', 'BLOCKED'],
] as const)('a verdict of %s is %s, with its hint', (reason, code) => {
  expect(errorOfRefusal({ allow: false, rule: null, reason, hint: 'do this' })).toMatchObject({
    code,
    message: 'do this',
  });
});

test('an event of a refusal is an error, any other is none', () => {
  expect(errorOfRefusal(numbered(refusedBody({ reason: 'no-rule' }), 1))).toMatchObject({
    code: 'HOST_NOT_ALLOWED',
  });
  expect(errorOfRefusal(numbered(refusedBody({ reason: 'secret-leak' }), 1))).toMatchObject({
    code: 'SECRET_LEAK',
  });
  expect(errorOfRefusal(numbered(allowedBody(), 1))).toBeNull();
});

import { packageRoot } from '../../src/policy/load.js';

test('packageRoot finds the folder of package.json', () => {
  expect(packageRoot()).toBe(process.cwd());
});

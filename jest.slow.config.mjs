import { common } from './jest.config.mjs';

/** The slow tier: fuzzing, soaks, guest boots. */
export default {
  ...common,
  testMatch: ['<rootDir>/test/**/*.slow.test.ts'],
  testTimeout: 600_000,
  maxWorkers: 1,
};

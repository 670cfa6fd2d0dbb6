/** The fast tier: everything but guest boots, fuzzing and soaks. */
export const common = {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { target: 'es2023', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } },
    ],
    // A package that comes as ES modules only.
    'node_modules/@marcbachmann/.+\\.js$': [
      '@swc/jest',
      { jsc: { target: 'es2023', parser: { syntax: 'ecmascript' } }, module: { type: 'commonjs' } },
    ],
  },
  transformIgnorePatterns: ['/node_modules/(?!@marcbachmann/)'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  extensionsToTreatAsEsm: [],
  testTimeout: 30_000,
  setupFilesAfterEnv: ['<rootDir>/test/support/retry.ts'],
  // Most of a test's time is spent waiting for processes and sockets.
  maxWorkers: 2,
};

export default {
  ...common,
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  testPathIgnorePatterns: ['\\.slow\\.test\\.ts$', '/node_modules/'],
};

import { readFileSync } from 'node:fs';

const { paths } = JSON.parse(readFileSync(new URL('./tsconfig.base.json', import.meta.url), 'utf8')).compilerOptions;
const moduleNameMapper = Object.fromEntries(
  Object.entries(paths).map(([alias, [file]]) => [`^${alias}$`, file.replace(/^\./, '<rootDir>')]),
);

/** Packages that ship, or import on demand, ES modules only; Jest loads CommonJS, so they are compiled like our own sources. */
const esModules = ['jose', 'uuid', '@seriousme/openapi-schema-validator', '@opentelemetry/otlp-exporter-base'];

const swc = {
  jsc: {
    target: 'es2022',
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, useDefineForClassFields: false },
    keepClassNames: true,
  },
  module: { type: 'commonjs' },
};

const level = (name, more = {}) => ({
  displayName: name,
  rootDir: import.meta.dirname,
  roots: ['apps', 'libs', 'bench', 'tests', 'tools'].map((folder) => `<rootDir>/${folder}`),
  testMatch: [`**/*.${name}.spec.ts`],
  testEnvironment: 'node',
  setupFilesAfterEnv: ['<rootDir>/tools/jest-timeouts.cjs'],
  moduleNameMapper,
  transform: { '^.+\\.[tj]s$': ['@swc/jest', swc] },
  transformIgnorePatterns: [`/node_modules/(?!(${esModules.join('|')})/)`],
  cacheDirectory: '<rootDir>/node_modules/.cache/jest',
  ...more,
});

export default {
  projects: [
    level('unit'),
    level('int', {
      globalSetup: '<rootDir>/tools/jest-setup-int.mjs',
      globalTeardown: '<rootDir>/tools/jest-teardown.ts',
    }),
    level('e2e', {
      globalSetup: '<rootDir>/tools/jest-setup-e2e.mjs',
      globalTeardown: '<rootDir>/tools/jest-teardown.ts',
    }),
  ],
  reporters: ['default', '<rootDir>/tools/summary-reporter.cjs'],
  passWithNoTests: true,
};

import { builtinModules } from 'node:module';
import js from '@eslint/js';
import nx from '@nx/eslint-plugin';
import prettier from 'eslint-config-prettier';
import { createNodeResolver, importX } from 'eslint-plugin-import-x';
import globals from 'globals';
import tseslint from 'typescript-eslint';

const specs = ['**/*.spec.ts', '**/*.testing.ts', 'libs/ports/src/conformance/**'];
/** Code that runs in production or builds, measures and checks it; not tests. */
const product = ['libs', 'apps', 'bench', 'tools'].flatMap((folder) => [
  `${folder}/**/*.ts`,
  `${folder}/**/*.{mjs,cjs}`,
]);

// ---- Module boundaries. The tags are in each project.json.

/** Drivers of stores, brokers and hashes. Only adapters and the apps that compose them may import these. */
const drivers = ['@eventstore/*', 'argon2', 'bullmq', 'ioredis', 'kafkajs', 'libsql', 'mongodb', 'nodemailer'];

const libs = ['domain', 'contracts', 'ports', 'platform', 'feature', 'feature-edge'];

/**
 * `pure`: packages that the pure libs may import in addition; `tests`: tags that every project may import in addition;
 * `around`: tags that features may import in addition; `banned`: packages that features may not import.
 */
const arrows = ({ pure: pureToo, tests, around, banned }) => [
  arrow('domain', tests, { allowedExternalImports: ['luxon', 'uuid', 'canonicalize', ...pureToo] }),
  arrow('contracts', ['domain', ...tests], {
    allowedExternalImports: ['zod', 'canonicalize', 'ipaddr.js', ...pureToo],
  }),
  arrow('ports', ['domain', 'contracts', ...tests], { bannedExternalImports: drivers }),
  arrow('adapter', ['domain', 'contracts', 'ports', ...tests]),
  arrow('platform', ['domain', 'contracts', 'ports', ...tests], { bannedExternalImports: drivers }),
  arrow('feature', ['domain', 'contracts', 'ports', 'platform', ...around, ...tests], {
    bannedExternalImports: banned,
  }),
  arrow('feature-edge', ['domain', 'contracts', 'ports', 'platform', 'feature', ...around, ...tests], {
    bannedExternalImports: banned,
  }),
  arrow('composition', [...libs, 'adapter', ...tests]),
  arrow('client', ['domain', 'contracts', 'ports', 'platform', 'adapter', ...tests], {
    bannedExternalImports: drivers,
  }),
  arrow('app', [...libs, 'adapter', 'composition', 'client', ...tests]),
  arrow('bench', [...libs, 'adapter', 'composition', 'client', ...tests]),
  arrow('testing', []),
  arrow('tests', ['*']),
];

/** What product code may import. */
const forProduct = { pure: [], tests: [], around: [], banned: drivers };

/** What specs and `.testing.ts` files may import: those of a feature run it on the adapters and together with other features. */
const forSpecs = { pure: ['fast-check'], tests: ['testing'], around: ['adapter', 'feature'], banned: [] };

function arrow(sourceTag, onlyDependOnLibsWithTags, more = {}) {
  return { sourceTag, onlyDependOnLibsWithTags, ...more };
}

const boundaries = (allowed) => [
  'error',
  {
    depConstraints: arrows(allowed),
    banTransitiveDependencies: true,
    // Libs are not loaded lazily to save size, so an app may import a lib statically and dynamically.
    checkDynamicDependenciesExceptions: ['.*'],
  },
];

// ---- Restricted APIs.

const environment = 'Only libs/platform and the config.ts of an app read the environment.';
const noEnvironment = { object: 'process', property: 'env', message: environment };
const noEnvironmentImport = ['process', 'node:process'].map((name) => ({
  name,
  importNames: ['env'],
  message: environment,
}));
const noConformance = { name: '@rekey/ports/conformance', message: 'Conformance suites are for spec files.' };
const noTesting = { regex: '^@rekey/.+/testing$', message: 'Test helpers are for spec files and .testing.ts files.' };

/** Comments that turn off a check. */
const suppressions = ['eslint-disable', 'prettier-ignore', '@ts-ignore', '@ts-expect-error', '@ts-nocheck'];

const pure = 'The domain is pure: time, ids, hashes and randomness arrive as data.';

export default tseslint.config(
  { ignores: ['**/dist/', '**/node_modules/', '.nx/', 'coverage/', 'data/', 'engines/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },

  js.configs.recommended,
  { files: ['**/*.{js,mjs,cjs}'], languageOptions: { globals: globals.node } },
  { files: ['tools/jest-timeouts.cjs'], languageOptions: { globals: globals.jest } },

  {
    files: ['**/*.ts', '**/*.tsx'],
    extends: [tseslint.configs.recommended],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-unnecessary-type-assertion': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      eqeqeq: ['error', 'always', { null: 'ignore' }],
    },
  },

  { files: ['**/*.ts', '**/*.tsx', '**/*.mjs'], plugins: { '@nx': nx } },
  {
    files: ['apps/**', 'libs/**', 'bench/**', 'tests/**'],
    rules: { '@nx/enforce-module-boundaries': boundaries(forProduct) },
  },
  // Its dependency is in bench/package.json; the rule reads only the root package.json.
  { files: ['bench/oidc-server.mjs'], rules: { '@nx/enforce-module-boundaries': 'off' } },
  { files: specs, rules: { '@nx/enforce-module-boundaries': boundaries(forSpecs) } },

  {
    files: product,
    ignores: specs,
    // A comment that turns a rule off has no effect, and is reported.
    linterOptions: { noInlineConfig: true },
    rules: {
      'max-lines': ['error', 300],
      'max-lines-per-function': ['error', 80],
      'no-warning-comments': ['error', { terms: suppressions, location: 'anywhere' }],
    },
  },
  {
    files: ['**/*.ts'],
    plugins: { 'import-x': importX },
    settings: {
      'import-x/extensions': ['.ts'],
      'import-x/parsers': { '@typescript-eslint/parser': ['.ts'] },
      'import-x/resolver-next': [createNodeResolver({ extensions: ['.ts'] })],
    },
    // Imports of types and aliases are not followed; tools/import-cycles.unit.spec.ts checks those as well.
    rules: { 'import-x/no-cycle': ['error', { ignoreExternal: true }] },
  },

  {
    files: ['libs/**', 'apps/**'],
    ignores: [...specs, 'libs/platform/**', 'libs/testing/**', 'apps/*/src/config.ts', 'libs/domain/**'],
    rules: {
      'no-restricted-properties': ['error', noEnvironment],
      'no-restricted-imports': ['error', { paths: [...noEnvironmentImport, noConformance], patterns: [noTesting] }],
    },
  },
  {
    files: ['libs/platform/**', 'apps/*/src/config.ts'],
    ignores: specs,
    rules: { 'no-restricted-imports': ['error', { paths: [noConformance], patterns: [noTesting] }] },
  },
  {
    files: ['libs/domain/**/*.ts'],
    ignores: specs,
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: [
            ...builtinModules.map((name) => ({ name, message: pure })),
            { name: 'uuid', importNames: ['v1', 'v4', 'v6', 'v7'], message: pure },
          ],
          patterns: [{ regex: '^node:', message: pure }],
        },
      ],
      'no-restricted-globals': [
        'error',
        ...['crypto', 'performance', 'process', 'fetch', 'setTimeout', 'setInterval', 'setImmediate'].map((name) => ({
          name,
          message: pure,
        })),
      ],
      'no-restricted-properties': [
        'error',
        noEnvironment,
        { object: 'Date', property: 'now', message: pure },
        { object: 'Math', property: 'random', message: pure },
        { object: 'DateTime', property: 'now', message: pure },
        { object: 'globalThis', property: 'crypto', message: pure },
      ],
      'no-restricted-syntax': [
        'error',
        { selector: 'NewExpression[callee.name="Date"][arguments.length=0]', message: pure },
        { selector: 'CallExpression[callee.name="Date"]', message: pure },
        {
          selector:
            'CallExpression[callee.object.name="DateTime"][callee.property.name=/^(local|utc)$/][arguments.length=0]',
          message: pure,
        },
      ],
    },
  },

  {
    files: ['libs/**/*.ts'],
    ignores: specs,
    // Logging must go through the redacting logger of libs/platform.
    rules: { 'no-console': 'error' },
  },
  {
    files: ['**/*.{spec,test}.{ts,tsx}'],
    ignores: ['**/*.{unit,int,e2e}.spec.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: 'Program',
          message: 'Nothing runs this file: name it *.unit.spec.ts, *.int.spec.ts or *.e2e.spec.ts.',
        },
      ],
    },
  },

  prettier,
);

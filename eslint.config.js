import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** Imports go one way: model ← config ← activities ← workers ← cli; model ← client ← cli. Each rule with its reason. */
const layers = {
  model: {
    never: ['config', 'activities', 'workflows', 'workers', 'client', 'cli', 'demo', 'test'],
    why: 'model is what every side shares: it knows nobody',
  },
  config: {
    never: ['activities', 'workflows', 'workers', 'client', 'cli', 'demo', 'test'],
    why: 'a site file is parsed the same way whoever reads it',
  },
  activities: {
    never: ['workflows', 'workers', 'client', 'cli', 'demo', 'test'],
    why: 'activities do what they are asked; they do not know by whom',
  },
  workflows: {
    never: ['config', 'workers', 'client', 'cli', 'demo', 'test'],
    why: 'workflow code is bundled and replayed: model, and types of activities, only',
  },
  workers: {
    never: ['client', 'cli', 'demo', 'test'],
    why: 'a worker is started by the command line, not the reverse',
  },
  client: {
    never: ['activities', 'config', 'workers', 'cli', 'demo', 'test'],
    why: 'the library for scripts needs neither worker nor activities',
  },
  cli: { never: ['demo', 'chaos', 'test'], why: 'what is released must not need the miniature' },
  demo: { never: ['test', 'chaos'], why: 'the demo is what a user runs: it must not need the tests' },
  chaos: {
    never: ['test'],
    why: 'the fault matrix is run on demand: it needs what is built, and that is without the tests',
  },
};

const layerRules = Object.entries(layers).map(([folder, { never, why }]) => ({
  files: [`${folder}/**/*.ts`],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          { regex: `^(\\.\\./)+(${never.join('|')})/`, message: `${folder}/: ${why}.` },
          ...extra(folder),
        ],
      },
    ],
  },
}));

function extra(folder) {
  const onlyHere = {
    regex: '^(node:child_process|execa)$',
    message:
      'activities/system/ is the only place that starts a process: one way to time out, to end a group, to report.',
  };
  const bundle = {
    group: ['zod', 'yaml', 'execa', 'pino', 'node:*'],
    message: 'breaks or bloats the workflow bundle: parse before, pass plain data.',
  };
  if (folder === 'workflows') return [bundle];
  return folder === 'demo' ? [] : [onlyHere];
}

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'coverage/', '.demo/'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // What answers over the wire is async whether or not it waits: a throw is then a rejection everywhere.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      'no-restricted-syntax': [
        'error',
        {
          selector: 'TSEnumDeclaration',
          message: 'A union of strings reads the same in JSON, logs and code.',
        },
        { selector: 'ExportDefaultDeclaration', message: 'A thing has one name everywhere.' },
      ],
    },
  },
  ...layerRules,
  {
    files: ['cli/{commands,screens}/**/*.ts', 'cli/program.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '^(\\.\\./)+(client/(?!errors)|workflows/|workers/(?!version)|dev-server)',
              allowTypeImports: true,
              message:
                'await import() it where it is used: Temporal takes half a second to load, and `check` needs none.',
            },
          ],
        },
      ],
    },
  },
  { files: ['activities/system/**/*.ts'], rules: { 'no-restricted-imports': 'off' } },
  {
    files: ['**/*.mjs', '**/*.js'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        URL: 'readonly',
        setTimeout: 'readonly',
        clearTimeout: 'readonly',
        Buffer: 'readonly',
        AbortController: 'readonly',
      },
    },
  },
);

import type { Edit, NewFile } from './copy.testing';

/** A change that the architecture page describes under the heading `title`, made for real. */
export interface Recipe {
  readonly title: string;
  readonly edits: readonly Edit[];
  readonly newFiles: readonly NewFile[];
}

const command: Recipe = {
  title: 'Add a command',
  newFiles: [],
  edits: [
    {
      file: 'libs/contracts/src/command-catalogue.ts',
      after: 'export const COMMANDS = {\n',
      text: `  RenameSecret: {
    aggregate: 'application',
    data: z.strictObject({ ...ofSecret, description: descriptionSchema }),
    action: 'secret.write',
    views: ['secrets'],
  },
`,
    },
    {
      file: 'libs/domain/src/application/secret-commands.ts',
      after: 'export type SecretCommand =\n',
      text: `  | CommandOf<'RenameSecret', SecretId & { description: string }>\n`,
    },
    {
      file: 'libs/domain/src/application/secret-commands.ts',
      after: '  switch (command.type) {\n',
      text: `    case 'RenameSecret':\n      return updateSecret(command.data, state, context, domain);\n`,
    },
    {
      file: 'libs/gateway/src/routes/secrets.ts',
      after: "from '../writes';\n",
      text: `
export const renameSecret = route({
  method: 'POST',
  url: '/api/v1/domains/:domainId/applications/:applicationId/secrets/:secretId/rename',
  summary: 'Rename a secret',
  tag: 'Secrets',
  action: 'secret.write',
  params: secretPath,
  body: updateSecretBody.pick({ description: true }).required(),
  writes: { ifMatch: true },
  answers: { 200: { description: 'Renamed.', body: secretAnswer, example: SECRET, headers: RESOURCE_HEADERS }, 202: PENDING },
  example: { description: 'CI' },
  handle: async ({ params, body, ...context }, { writes, reads }: Services) => {
    const command = { type: 'RenameSecret', data: { ...params, ...body } } as const;
    return answerWhenVisible(await writes.send(context, command), 200, async () => withETag(await reads.secret(params)));
  },
});
`,
    },
    { file: 'libs/gateway/src/gateway.ts', after: '  secrets.addSecret,\n', text: '  secrets.renameSecret,\n' },
    {
      file: 'libs/contracts/src/commands.unit.spec.ts',
      after: "Record<DomainCommand['type'], true> = {\n",
      text: '  RenameSecret: true,\n',
    },
    {
      file: 'libs/contracts/src/commands.unit.spec.ts',
      after: 'const EXAMPLES: Record<CommandType, [least: object, most: object]> = {\n',
      text: "  RenameSecret: [{ ...secret, description: 'a' }, { ...secret, description: 'a' }],\n",
    },
    {
      file: 'libs/domain/src/application/application-properties.unit.spec.ts',
      after: "const commands: { [Type in ApplicationCommand['type']]: [number, fc.Arbitrary<object>] } = {\n",
      text: '  RenameSecret: [1, fc.record({ description: secretId })],\n',
    },
    {
      file: 'libs/domain/src/application/application-properties.unit.spec.ts',
      after: "        'ApplicationRegistered',\n        'SecretAdded',\n",
      text: "        'SecretDescribed',\n",
    },
  ],
};

const view: Recipe = {
  title: 'Add a view',
  newFiles: [{ file: 'libs/read-models/src/views/contacts.view.ts', replace: { '@rekey/read-models': './view' } }],
  edits: [
    { file: 'libs/contracts/src/views.ts', after: 'export const VIEW_VERSIONS = {\n', text: '  contacts: 1,\n' },
    {
      file: 'libs/read-models/src/views/views.ts',
      after: "import { authenticationView } from './authentication.view';\n",
      text: "import { contactsView } from './contacts.view';\n",
    },
    { file: 'libs/read-models/src/views/views.ts', after: '  authenticationView,\n', text: '  contactsView,\n' },
  ],
};

const route: Recipe = {
  title: 'Add a route',
  newFiles: [],
  edits: [
    {
      file: 'libs/gateway/src/routes/operations.ts',
      after: "from '../services';\n",
      text: `
export const showTime = route({
  method: 'GET',
  url: '/api/v1/time',
  summary: 'Show the time of the server',
  tag: 'Operations',
  action: 'public',
  answers: { 200: { description: 'The time.', body: z.object({ now: z.string() }), example: { now: '2027-01-01T00:00:00.000Z' } } },
  handle: async (_context, { clock }: Services) => ({ status: 200, body: { now: clock.now() } }),
});
`,
    },
    { file: 'libs/gateway/src/gateway.ts', after: '  operations.showCommand,\n', text: '  operations.showTime,\n' },
  ],
};

const channel: Recipe = {
  title: 'Add a notice channel',
  newFiles: [
    { file: 'libs/adapters/notifiers/src/file-notifier.ts' },
    { file: 'libs/adapters/notifiers/src/file-notifier.int.spec.ts' },
  ],
  edits: [
    {
      file: 'libs/adapters/notifiers/src/index.ts',
      after: "export * from './log-notifier';\n",
      text: "export * from './file-notifier';\n",
    },
    {
      file: 'libs/platform/src/config/config-schema.ts',
      after: '  notifiers: section({\n',
      text: '    file: section({ path: filePath.optional() }),\n',
    },
    { file: 'rekey.example.yml', after: 'notifiers:\n', text: '  file:\n    #path: /var/log/rekey/notices.ndjson\n' },
    {
      file: 'libs/composition/src/expiry-watcher.ts',
      after: "from '@rekey/adapters/kafka';\n",
      text: "import { FileNotifier } from '@rekey/adapters/notifiers';\n",
    },
    {
      file: 'libs/composition/src/expiry-watcher.ts',
      after: '  const all = [\n',
      text: '    ...(config.notifiers.file.path === undefined ? [] : [new FileNotifier(config.notifiers.file.path)]),\n',
    },
  ],
};

const adapter: Recipe = {
  title: 'Add an engine adapter',
  newFiles: [
    {
      file: 'libs/adapters/chained/project.json',
      content: JSON.stringify({
        name: 'adapters-chained',
        projectType: 'library',
        sourceRoot: 'libs/adapters/chained/src',
        tags: ['adapter'],
        targets: { lint: {}, test: {} },
      }),
    },
    { file: 'libs/adapters/chained/src/index.ts', content: "export * from './chained-command-bus';\n" },
    { file: 'libs/adapters/chained/src/chained-command-bus.ts' },
    { file: 'libs/adapters/chained/src/chained.conformance.int.spec.ts' },
  ],
  edits: [
    {
      file: 'tsconfig.base.json',
      after: '    "paths": {\n',
      text: '      "@rekey/adapters/chained": ["./libs/adapters/chained/src/index.ts"],\n',
    },
    { file: 'libs/platform/src/config/config-engines.ts', after: "  bus: ['local', ", text: "'chained', " },
    {
      file: 'libs/composition/src/engines.ts',
      after: "import type { Provider } from '@nestjs/common';\n",
      text: "import { ChainedCommandBus } from '@rekey/adapters/chained';\n",
    },
    {
      file: 'libs/composition/src/engines.ts',
      after: '  switch (config.adapters.bus) {\n',
      text: "    case 'chained':\n      return new ChainedCommandBus(clock);\n",
    },
    {
      file: 'libs/composition/src/projector.ts',
      after: '  switch (config.adapters.bus) {\n',
      text: "    case 'chained':\n",
    },
  ],
};

/** One change for each section of "Where do I change…?" in `docs/architecture.md`. They can all be made in one copy. */
export const RECIPES: readonly Recipe[] = [command, view, channel, route, adapter];

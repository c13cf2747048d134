import { checkAnswer } from '@rekey/contracts';
import type { Command } from 'commander';
import { askSecret } from '../prompts';
import { path } from '../client';
import { clientId } from '../input';
import { inDomain, type DomainOptions } from '../options';
import { when } from '../output';
import { action, type Io } from '../session';

interface CheckOptions extends DomainOptions {
  readonly clientId: string;
  readonly secretFile?: string;
  readonly remoteAddress?: string;
}

export const addCheckCommand = (program: Command, io: Io): void => {
  inDomain(program.command('check'))
    .summary('Check whether a client id and secret authenticate.')
    .description(
      'Check whether a client id and secret authenticate. The secret is read from standard input, a file or a prompt, ' +
        'never from the command line, which other processes can read. Exit codes: 0 valid, 4 not valid.',
    )
    .requiredOption('--client-id <id>', 'Client id.', clientId)
    .option('--secret-file <file>', 'File with the secret.')
    .option('--remote-address <address>', 'IP address of the client, for secrets limited to networks.')
    .action(
      action<CheckOptions>(io, async (session, options) => {
        const domain = session.domain(options);
        // Fail on a missing token before prompting for the secret.
        session.settings.token();
        const clientSecret = await askSecret(io, 'secret', options.secretFile);
        const { clientId, remoteAddress } = options;
        const answer = await session.client.send({
          method: 'POST',
          path: path`/api/v1/domains/${domain}/authenticate`,
          body: { clientId, clientSecret, ...(remoteAddress !== undefined && { remoteAddress }) },
        });
        await session.show(answer, checkAnswer, (found) =>
          session.formatter.record([
            ['Valid', { text: 'yes', colour: 'green' }],
            ['Domain', found.domainId],
            ['Client id', found.clientId],
            ['Application', found.applicationId],
            ['Secret', found.secretId],
            ['Version', String(found.version)],
            ['Expires', found.expiresAt === undefined ? 'never' : when(found.expiresAt, io.now())],
          ]),
        );
      }),
    );
};

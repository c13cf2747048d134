import { checkAnswer } from '@rekey/contracts';
import type { Command } from 'commander';
import { askSecret } from '../asking';
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

/** `rekey check`: whether a client id and a secret authenticate now. */
export const addCheckCommand = (program: Command, io: Io): void => {
  inDomain(program.command('check'))
    .description(
      'check a client id and secret. The secret comes from standard input, a file or a question, never from the ' +
        'command line, which other processes can read. Exit code 0: valid; 4: refused',
    )
    .requiredOption('--client-id <id>', 'the client id', clientId)
    .option('--secret-file <file>', 'a file that holds the secret')
    .option('--remote-address <address>', 'where the client comes from, for secrets that are bound to networks')
    .action(
      action<CheckOptions>(io, async (session, options) => {
        const domain = session.domain(options);
        // Nobody should have typed a secret to learn that a token is missing.
        session.settings.token();
        const clientSecret = await askSecret(io, 'secret', options.secretFile);
        const { clientId, remoteAddress } = options;
        const answer = await session.client.send({
          method: 'POST',
          path: path`/api/v1/domains/${domain}/authenticate`,
          body: { clientId, clientSecret, ...(remoteAddress !== undefined && { remoteAddress }) },
        });
        await session.show(answer, checkAnswer, (found) =>
          session.paper.record([
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

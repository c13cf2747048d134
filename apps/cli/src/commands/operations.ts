import { commandAnswer } from '@rekey/contracts';
import type { Command } from 'commander';
import { z } from 'zod';
import { path } from '../client';
import { EXIT, Failure } from '../failure';
import { action, type Io } from '../session';

const readiness = z.object({ status: z.string(), probes: z.unknown().optional() });

export const addOperationCommands = (program: Command, io: Io): void => {
  program
    .command('health')
    .summary('Show whether the server is ready.')
    .description('Show whether the server is ready. Exit codes: 1 not ready, 3 no response.')
    .action(
      action(io, async (session) => {
        const answer = await session.client.send({ method: 'GET', path: '/health/ready', public: true });
        const ready = answer.status === 200;
        await session.show(answer, readiness, ({ status, probes }) =>
          session.formatter.record([
            ['Rekey', { text: status, colour: ready ? 'green' : 'red' }],
            ['Address', session.settings.url],
            ...probeLines(probes),
          ]),
        );
        if (!ready) throw new Failure(EXIT.refused, 'The server is not ready.');
      }),
    );

  program
    .command('command')
    .description('Show the outcome of a command.')
    .argument('<id>', 'Command id, as shown in an answer or message.')
    .action(
      action(io, async (session, _options, id) => {
        const answer = await session.client.send({ method: 'GET', path: path`/api/v1/commands/${id}` });
        await session.show(answer, commandAnswer, ({ status, position, error }) =>
          session.formatter.record([
            ['Command', id],
            ['Outcome', { text: status, colour: status === 'accepted' ? 'green' : 'red' }],
            ['Position', position || undefined],
            ['Error', error && `${error.message} (${error.code})`],
          ]),
        );
      }),
    );
};

/** Formats the probes: a list of named states, or states by name. */
const probeLines = (probes: unknown): [string, string][] => {
  if (typeof probes !== 'object' || probes === null) return [];
  return Object.entries(probes).map(([name, state]) => {
    const known = typeof state === 'object' && state !== null ? (state as Record<string, unknown>) : {};
    const label = typeof known['name'] === 'string' ? known['name'] : name;
    const facts = Object.entries(known)
      .filter(([key]) => key !== 'name')
      .map(([key, value]) => `${key}: ${String(value)}`);
    return [label, facts.length > 0 ? facts.join(', ') : String(state)];
  });
};

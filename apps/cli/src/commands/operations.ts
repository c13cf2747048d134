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
    .description('show whether the server can do its work now; exit code 1 where it cannot, 3 where nothing answers')
    .action(
      action(io, async (session) => {
        const answer = await session.client.send({ method: 'GET', path: '/health/ready', open: true });
        const ready = answer.status === 200;
        await session.show(answer, readiness, ({ status, probes }) =>
          session.paper.record([
            ['Rekey', { text: status, colour: ready ? 'green' : 'red' }],
            ['At', session.settings.url],
            ...probeLines(probes),
          ]),
        );
        if (!ready) throw new Failure(EXIT.refused, 'The server is there, and not ready to work.');
      }),
    );

  program
    .command('command')
    .description('show what became of a write of yours, by its command id')
    .argument('<id>', 'its id, as an answer or a message named it')
    .action(
      action(io, async (session, _options, id) => {
        const answer = await session.client.send({ method: 'GET', path: path`/api/v1/commands/${id}` });
        await session.show(answer, commandAnswer, ({ status, position, error }) =>
          session.paper.record([
            ['Command', id],
            ['Outcome', { text: status, colour: status === 'accepted' ? 'green' : 'red' }],
            ['Position', position || undefined],
            ['Why', error && `${error.message} (${error.code})`],
          ]),
        );
      }),
    );
};

/** Probes as they come: a list of named states, or states by name. */
const probeLines = (probes: unknown): [string, string][] => {
  if (typeof probes !== 'object' || probes === null) return [];
  return Object.entries(probes).map(([name, state]) => {
    const known = typeof state === 'object' && state !== null ? (state as Record<string, unknown>) : {};
    const label = typeof known['name'] === 'string' ? known['name'] : name;
    const words = Object.entries(known)
      .filter(([key]) => key !== 'name')
      .map(([key, value]) => `${key}: ${String(value)}`);
    return [label, words.length > 0 ? words.join(', ') : String(state)];
  });
};

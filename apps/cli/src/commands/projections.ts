import {
  VIEW_VERSIONS,
  failedEventAnswer,
  projectionAnswer,
  rebuildAnswer,
  replayAnswer,
  type ViewName,
} from '@rekey/contracts';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { setTimeout as sleep } from 'node:timers/promises';
import type { z } from 'zod';
import { path } from '../client';
import { EXIT, Failure } from '../failure';
import { paged } from '../options';
import { counted, type Cell, type Formatter } from '../output';
import { action, parseBody, parsePage, type Io, type PageOptions, type Session } from '../session';

type Projection = z.infer<typeof projectionAnswer>;
type Failed = z.infer<typeof failedEventAnswer>;
type Replay = z.infer<typeof replayAnswer>;

const LIST = { method: 'GET', path: '/api/v1/projections' } as const;
const POLL_MS = 1_000;

export const addProjectionCommands = (program: Command, io: Io): void => {
  const projections = program
    .command('projections')
    .description('Inspect and maintain the views that the server reads from.');

  projections
    .command('list')
    .description('List the builds of all views, with their progress and owner.')
    .action(
      action(io, async (session) => {
        await session.list(LIST, {}, projectionAnswer, (items) => table(session.formatter, items));
      }),
    );

  projections
    .command('rebuild')
    .description('Rebuild a view next to its active build. Joins a rebuild that is already running.')
    .argument('<view>', 'Name of the view, as shown by `rekey projections list`.', viewName)
    .option('--wait', 'Wait until the new build is active.')
    .action(action<{ readonly wait?: boolean }, ViewName>(io, rebuild));

  paged(projections.command('failed'))
    .description('List events that a view failed to apply, with the events waiting behind them and their replays.')
    .addOption(new Option('--view <view>', 'Only this view.').argParser(viewName))
    .action(
      action<PageOptions & { readonly view?: ViewName }>(io, async (session, { view, ...pages }) => {
        const call = { method: 'GET', path: '/api/v1/projections/failed', query: { view } } as const;
        await session.list(call, pages, failedEventAnswer, (items) => failedTable(session.formatter, items));
      }),
    );

  projections
    .command('replay')
    .description('Replay the parked events of a stream. Exit codes: 1 some events still fail, 5 not picked up yet.')
    .argument('<view>', 'Name of the view, as shown by `rekey projections list`.', viewName)
    .argument('<stream>', 'Stream, as shown by `rekey projections failed`.')
    .action(action<object, ViewName>(io, replay));
};

const viewName = (text: string): ViewName => {
  if (Object.hasOwn(VIEW_VERSIONS, text)) return text as ViewName;
  throw new InvalidArgumentError(`Expected one of ${Object.keys(VIEW_VERSIONS).join(', ')}.`);
};

const rebuild = async (session: Session, { wait }: { readonly wait?: boolean }, view: ViewName): Promise<void> => {
  const url = `${path`/api/v1/projections/${view}`}/rebuild`;
  const answer = await session.client.send({ method: 'POST', path: url });
  const { build } = parseBody(rebuildAnswer, answer.body);
  if (!wait)
    return session.show(
      answer,
      rebuildAnswer,
      () => `Building ${build}. See \`rekey projections list\` for its progress.`,
    );
  while (!(await isActive(session, view, build))) await sleep(POLL_MS);
  await session.show(answer, rebuildAnswer, () => `${build} is now the active build of ${view}.`);
};

/** Whether this build, or a later one, is active. */
const isActive = async (session: Session, view: ViewName, build: string): Promise<boolean> => {
  const { items } = parsePage((await session.client.send(LIST)).body);
  const builds = items.map((item) => parseBody(projectionAnswer, item)).filter((each) => each.view === view);
  if (builds.some((each) => each.active && each.build >= build)) return true;
  // Build names ascend. A later build replaces one that never became active.
  if (builds.some((each) => each.build >= build)) return false;
  throw new Failure(EXIT.refused, `${build} was removed and no later build exists. See the log of the projector.`);
};

const replay = async (session: Session, _options: object, view: ViewName, stream: string): Promise<void> => {
  const url = `${path`/api/v1/projections/${view}`}/replay`;
  const answer = await session.client.send({ method: 'POST', path: url, body: { stream } });
  await session.show(answer, replayAnswer, (body) => replayed(session.formatter, body));
  if (answer.status === 202)
    throw new Failure(
      EXIT.pending,
      'Requested. The process that owns the view has not replayed it yet; see `rekey projections failed`.',
    );
  if (parseBody(replayAnswer, answer.body).builds.some(({ result }) => result && result.waiting > 0))
    throw new Failure(EXIT.refused, 'Some events still fail.');
};

const yes = (is: boolean): Cell => (is ? { text: 'yes', colour: 'green' } : 'no');

const table = (formatter: Formatter, builds: Projection[]): string =>
  formatter.table(
    ['VIEW', 'VERSION', 'BUILD', 'ACTIVE', 'READY', 'CHECKPOINT', 'LAG', 'PARKED', 'OWNER'],
    builds.map((each) => [
      each.view,
      String(each.version),
      each.build,
      yes(each.active),
      yes(each.ready),
      each.checkpoint || undefined,
      `${each.lagSeconds.toFixed(1)} s`,
      each.parkedStreams > 0 ? { text: String(each.parkedStreams), colour: 'red' } : '0',
      each.owner,
    ]),
  );

const failedTable = (formatter: Formatter, events: Failed[]): string =>
  formatter.table(
    ['VIEW', 'STREAM', 'REVISION', 'EVENT', 'CAUSE', 'WAITING', 'REPLAY', 'BUILD'],
    events.map((each) => [
      each.view,
      each.stream,
      String(each.revision),
      each.type,
      each.cause,
      String(each.waiting),
      each.replay && replayOf(each.replay),
      each.build,
    ]),
  );

const replayOf = ({ answered, askedAt, askedBy, result }: NonNullable<Failed['replay']>): string =>
  answered && result ? `${outcomeOf(result)}, requested by ${askedBy}` : `requested by ${askedBy} at ${askedAt}`;

const replayed = (formatter: Formatter, { builds }: Replay): string =>
  formatter.table(
    ['BUILD', 'REPLAY'],
    builds.map(({ build, result }) => [build, result ? outcomeOf(result) : 'requested']),
  );

const outcomeOf = ({ events, waiting, cause }: NonNullable<Replay['builds'][number]['result']>): string =>
  `${counted(events, 'event')} applied, ${waiting} waiting${cause === undefined ? '' : ` (${cause})`}`;

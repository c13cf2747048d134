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
import { counted, type Cell, type Paper } from '../output';
import { action, fits, pageIn, type Io, type PageOptions, type Session } from '../session';

type Projection = z.infer<typeof projectionAnswer>;
type Failed = z.infer<typeof failedEventAnswer>;
type Replay = z.infer<typeof replayAnswer>;

const LIST = { method: 'GET', path: '/api/v1/projections' } as const;
const LOOK_EVERY_MS = 1_000;

export const addProjectionCommands = (program: Command, io: Io): void => {
  const projections = program.command('projections').description('how the views are kept that the server reads from');

  projections
    .command('list')
    .description('list the builds of all views: which one answers, how far each is, who keeps it')
    .action(
      action(io, async (session) => {
        await session.list(LIST, {}, projectionAnswer, (items) => table(session.paper, items));
      }),
    );

  projections
    .command('rebuild')
    .description('begin a new build of a view beside the live one, or join the one that is under way')
    .argument('<view>', 'the view', viewName)
    .option('--wait', 'wait until it answers')
    .action(action<{ readonly wait?: boolean }, ViewName>(io, rebuild));

  paged(projections.command('failed'))
    .description('list events that views could not take in, how many wait behind them, and what came of their replays')
    .addOption(new Option('--view <view>', 'only of this view').argParser(viewName))
    .action(
      action<PageOptions & { readonly view?: ViewName }>(io, async (session, { view, ...pages }) => {
        const call = { method: 'GET', path: '/api/v1/projections/failed', query: { view } } as const;
        await session.list(call, pages, failedEventAnswer, (items) => failedTable(session.paper, items));
      }),
    );

  projections
    .command('replay')
    .description(
      'take in what waits of a stream; exit code 1 where something waits still, 5 where nobody has taken it up yet',
    )
    .argument('<view>', 'the view', viewName)
    .argument('<stream>', 'the stream, as `failed` shows it')
    .action(action<object, ViewName>(io, replay));
};

const viewName = (text: string): ViewName => {
  if (Object.hasOwn(VIEW_VERSIONS, text)) return text as ViewName;
  throw new InvalidArgumentError(`One of ${Object.keys(VIEW_VERSIONS).join(', ')}.`);
};

const rebuild = async (session: Session, { wait }: { readonly wait?: boolean }, view: ViewName): Promise<void> => {
  const url = `${path`/api/v1/projections/${view}`}/rebuild`;
  const answer = await session.client.send({ method: 'POST', path: url });
  const { build } = fits(rebuildAnswer, answer.body);
  if (!wait)
    return session.show(
      answer,
      rebuildAnswer,
      () => `${build} is being built; \`rekey projections list\` tells when it answers.`,
    );
  while (!(await answers(session, view, build))) await sleep(LOOK_EVERY_MS);
  await session.show(answer, rebuildAnswer, () => `${build} answers for ${view}.`);
};

/** Whether a build answers, or a younger one that was begun since. */
const answers = async (session: Session, view: ViewName, build: string): Promise<boolean> => {
  const { items } = pageIn((await session.client.send(LIST)).body);
  const builds = items.map((item) => fits(projectionAnswer, item)).filter((each) => each.view === view);
  if (builds.some((each) => each.active && each.build >= build)) return true;
  // Names of builds ascend: a younger one takes the place of one that has not answered yet.
  if (builds.some((each) => each.build >= build)) return false;
  throw new Failure(
    EXIT.refused,
    `${build} is gone, and no younger build is there. The log of the projector says why.`,
  );
};

const replay = async (session: Session, _options: object, view: ViewName, stream: string): Promise<void> => {
  const url = `${path`/api/v1/projections/${view}`}/replay`;
  const answer = await session.client.send({ method: 'POST', path: url, body: { stream } });
  await session.show(answer, replayAnswer, (body) => replayed(session.paper, body));
  if (answer.status === 202)
    throw new Failure(
      EXIT.pending,
      'Noted: whoever keeps the view takes it up. `rekey projections failed` tells what came of it.',
    );
  if (fits(replayAnswer, answer.body).builds.some(({ result }) => result && result.waiting > 0))
    throw new Failure(EXIT.refused, 'Something waits still: the cause is not gone.');
};

// ── For people ───────────────────────────────────────────────────────────────────────────────────────────────────

const yes = (is: boolean): Cell => (is ? { text: 'yes', colour: 'green' } : 'no');

const table = (paper: Paper, builds: Projection[]): string =>
  paper.table(
    ['VIEW', 'VERSION', 'BUILD', 'ANSWERS', 'READY', 'CHECKPOINT', 'LAG', 'PARKED', 'OWNER'],
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

const failedTable = (paper: Paper, events: Failed[]): string =>
  paper.table(
    ['VIEW', 'STREAM', 'REVISION', 'EVENT', 'CAUSE', 'WAITING', 'REPLAY', 'BUILD'],
    events.map((each) => [
      each.view,
      each.stream,
      String(each.revision),
      each.type,
      each.cause,
      String(each.waiting),
      each.replay && askedOf(each.replay),
      each.build,
    ]),
  );

const askedOf = ({ answered, askedAt, askedBy, result }: NonNullable<Failed['replay']>): string =>
  answered && result ? `${outcomeOf(result)}, asked by ${askedBy}` : `asked by ${askedBy} at ${askedAt}`;

const replayed = (paper: Paper, { builds }: Replay): string =>
  paper.table(
    ['BUILD', 'REPLAY'],
    builds.map(({ build, result }) => [build, result ? outcomeOf(result) : 'noted']),
  );

const outcomeOf = ({ events, waiting, cause }: NonNullable<Replay['builds'][number]['result']>): string =>
  `${counted(events, 'event')} taken in, ${waiting} waiting${cause === undefined ? '' : ` (${cause})`}`;

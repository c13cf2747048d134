import {
  failedEventAnswer,
  failedEventsQuery,
  pageAnswer,
  projectionAnswer,
  projectionPath,
  rebuildAnswer,
  replayAnswer,
  replayBody,
  senderOf,
} from '@rekey/contracts';
import type { BuildStatus, FailedStream, Projections, ReplayAnswer } from '@rekey/read-models';
import { IDS, RECEIPT } from '../examples';
import { route, type Route } from '../route';

export interface ProjectionRoutesOptions {
  readonly projections: Pick<Projections, 'list' | 'rebuild' | 'failed' | 'replay'>;
  /** How long an answer waits for what comes of a replay. */
  readonly waitTimeoutMs: number;
}

/** How the views are kept, for those who operate the system. The process that projects may be another one. */
export const projectionRoutes = (options: ProjectionRoutesOptions): Route[] => [
  route({
    method: 'GET',
    url: '/api/v1/projections',
    summary: 'List the builds of all views: which one answers, how far each is, who keeps it',
    tag: 'Projections',
    action: 'projection.manage',
    answers: {
      200: { description: 'All builds.', body: pageAnswer(projectionAnswer), example: { items: [PROJECTION] } },
    },
    handle: async () => ({ status: 200, body: { items: (await options.projections.list()).map(projectionOf) } }),
  }),
  route({
    method: 'POST',
    url: '/api/v1/projections/:view/rebuild',
    summary: 'Begin a new build of a view beside the live one, or join the one that is under way',
    tag: 'Projections',
    action: 'projection.manage',
    params: projectionPath,
    answers: {
      202: {
        description: 'It answers as soon as it has come as far; the list tells.',
        body: rebuildAnswer,
        example: { view: 'secrets', build: PROJECTION.build },
      },
    },
    handle: async ({ params: { view }, caller }) => {
      const build = await options.projections.rebuild(view, senderOf(caller));
      return { status: 202, body: { view, build } };
    },
  }),
  route({
    method: 'GET',
    url: '/api/v1/projections/failed',
    summary: 'List events that views could not take in, and what came of their replays',
    tag: 'Projections',
    action: 'projection.manage',
    query: failedEventsQuery,
    answers: {
      200: { description: 'A page of them.', body: pageAnswer(failedEventAnswer), example: { items: [FAILED] } },
    },
    handle: async ({ query }) => {
      const { items, ...more } = await options.projections.failed(query);
      return { status: 200, body: { items: items.map(failedOf), ...more } };
    },
  }),
  route({
    method: 'POST',
    url: '/api/v1/projections/:view/replay',
    summary: 'Take in what waits of a stream, in every build of a view that has parked it',
    tag: 'Projections',
    action: 'projection.manage',
    params: projectionPath,
    body: replayBody,
    answers: {
      200: {
        description: 'What came of it, build by build; what waits still waits.',
        body: replayAnswer,
        example: {
          ...REPLAYED,
          builds: [{ build: PROJECTION.build, result: { at: RECEIPT.effectiveAt, events: 3, waiting: 0 } }],
        },
      },
      202: {
        description: 'Noted; whoever keeps the build takes it up. The list of what failed tells what came of it.',
        body: replayAnswer,
        example: { ...REPLAYED, builds: [{ build: PROJECTION.build }] },
      },
    },
    errors: ['not_found'],
    example: { stream: REPLAYED.stream },
    handle: async ({ params: { view }, body: { stream }, caller }) => {
      const answer = await options.projections.replay(view, stream, senderOf(caller), options.waitTimeoutMs);
      const isDone = answer.builds.every(({ result }) => result);
      return { status: isDone ? 200 : 202, body: { view, stream, builds: answer.builds.map(replayOf) } };
    },
  }),
];

const projectionOf = ({ collection: build, owner, ...status }: BuildStatus): object => ({
  ...status,
  build,
  ...(owner !== '' && { owner }),
});

const failedOf = ({ collection: build, ...failed }: FailedStream): object => ({ ...failed, build });

const replayOf = ({ collection: build, result }: ReplayAnswer['builds'][number]): object => ({
  build,
  ...(result && { result }),
});

const PROJECTION = {
  view: 'secrets',
  version: 1,
  build: 'secrets.v1.0000012f9c1b7e4d02',
  active: true,
  ready: true,
  checkpoint: RECEIPT.position,
  lagSeconds: 0,
  owner: 'projector@host-3fa1b2c4',
  parkedStreams: 0,
};

const REPLAYED = { view: 'secrets', stream: `application-${IDS.application}` };

const FAILED = {
  ...REPLAYED,
  build: PROJECTION.build,
  revision: 4,
  position: RECEIPT.position,
  type: 'SecretAdded',
  cause: 'failed with TypeError',
  waiting: 3,
  replay: { askedAt: RECEIPT.effectiveAt, askedBy: 'token:ops', answered: false },
};

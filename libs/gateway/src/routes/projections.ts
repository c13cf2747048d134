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
import type { BuildStatus, FailedStream, ReplayAnswer } from '@rekey/read-models';
import { IDS, RECEIPT } from '../examples';
import { route } from '../route';
import type { Services } from '../services';

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

export const listProjections = route({
  method: 'GET',
  url: '/api/v1/projections',
  summary: 'List the builds of all views: which one is active, how far each one is, and which process owns it',
  tag: 'Projections',
  action: 'projection.manage',
  answers: {
    200: { description: 'All builds.', body: pageAnswer(projectionAnswer), example: { items: [PROJECTION] } },
  },
  handle: async (_context, { projections }: Services) => ({
    status: 200,
    body: { items: (await projections.list()).map(projectionOf) },
  }),
});

export const rebuildProjection = route({
  method: 'POST',
  url: '/api/v1/projections/:view/rebuild',
  summary: 'Start a new build of a view beside the active one, or return the one in progress',
  tag: 'Projections',
  action: 'projection.manage',
  params: projectionPath,
  answers: {
    202: {
      description: 'Started. It becomes active when it has caught up; list the projections to see its progress.',
      body: rebuildAnswer,
      example: { view: 'secrets', build: PROJECTION.build },
    },
  },
  handle: async ({ params: { view }, caller }, { projections }: Services) => {
    const build = await projections.rebuild(view, senderOf(caller));
    return { status: 202, body: { view, build } };
  },
});

export const listFailedEvents = route({
  method: 'GET',
  url: '/api/v1/projections/failed',
  summary: 'List events that a view failed to apply, and the outcome of their replays',
  tag: 'Projections',
  action: 'projection.manage',
  query: failedEventsQuery,
  answers: {
    200: { description: 'A page of failed events.', body: pageAnswer(failedEventAnswer), example: { items: [FAILED] } },
  },
  handle: async ({ query }, { projections }: Services) => {
    const { items, ...more } = await projections.failed(query);
    return { status: 200, body: { items: items.map(failedOf), ...more } };
  },
});

export const replayStream = route({
  method: 'POST',
  url: '/api/v1/projections/:view/replay',
  summary: 'Replay a parked stream in every build of a view',
  tag: 'Projections',
  action: 'projection.manage',
  params: projectionPath,
  body: replayBody,
  answers: {
    200: {
      description: 'Replayed. `waiting` counts the events that still fail, per build.',
      body: replayAnswer,
      example: {
        ...REPLAYED,
        builds: [{ build: PROJECTION.build, result: { at: RECEIPT.effectiveAt, events: 3, waiting: 0 } }],
      },
    },
    202: {
      description: 'Requested; the owner of the build has not replayed it yet. List the failed events for the outcome.',
      body: replayAnswer,
      example: { ...REPLAYED, builds: [{ build: PROJECTION.build }] },
    },
  },
  errors: ['not_found'],
  example: { stream: REPLAYED.stream },
  handle: async ({ params: { view }, body: { stream }, caller }, { projections, waitTimeoutMs }: Services) => {
    const answer = await projections.replay(view, stream, senderOf(caller), waitTimeoutMs);
    const isDone = answer.builds.every(({ result }) => result);
    return { status: isDone ? 200 : 202, body: { view, stream, builds: answer.builds.map(replayOf) } };
  },
});

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

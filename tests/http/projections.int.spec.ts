import { SqliteDatabase, SqliteEventStore, SqliteReadModels } from '@rekey/adapters/embedded';
import { VIEW_VERSIONS, type ViewName } from '@rekey/contracts';
import { NO_STREAM, SystemClock } from '@rekey/ports';
import { until } from '@rekey/testing';
import { randomUUID } from 'node:crypto';
import { TestSystem } from '../support/http.testing';

const STREAM = 'application-from-the-future';

/** Appends an event that the code cannot decode to the store of a running system. */
const appendUnreadable = async ({ standalone }: TestSystem): Promise<void> => {
  const database = await SqliteDatabase.open(standalone.folder);
  const store = await SqliteEventStore.open(database, new SystemClock());
  const commandId = randomUUID();
  const metadata = {
    commandId,
    correlationId: commandId,
    causationId: commandId,
    actor: { type: 'token', id: 'a' } as const,
    occurredAt: '2026-01-01T00:00:00.000Z',
    schemaVersion: 1,
    previousHash: '',
    hash: 'h',
  };
  const event = { eventId: randomUUID(), type: 'FromTheFuture', data: { verifier: 'phc' }, metadata };
  await store.append(STREAM, NO_STREAM, [event]);
  await store.close();
  await database.close();
};

describe('the projections API, by status', () => {
  let system: TestSystem;
  const ask: TestSystem['ask'] = (...request) => system.ask(...request);
  const refused = async (status: number, code: string, ...request: Parameters<TestSystem['ask']>) => {
    const answer = await ask(...request);
    expect({ status: answer.status, code: answer.body?.code }).toEqual({ status, code });
    return answer.body;
  };
  const failed = async (query = '') => (await system.done('GET', `/projections/failed${query}`)).items;
  const parked = () => until('the stream to be parked', async () => (await failed()).length > 0 && failed());
  const projection = async (view: string) =>
    (await system.done('GET', '/projections')).items.filter((each: { view: string }) => each.view === view);

  describe('with answers that wait for the result of a replay', () => {
    beforeAll(async () => {
      system = await TestSystem.start({
        env: { REKEY_COMMANDS_WAITTIMEOUTMS: '20000' },
        callers: { limited: { roles: ['admin'], domains: ['acme'] } },
      });
      await system.done('POST', '/domains', { id: 'acme', name: 'Acme' });
    });
    afterAll(() => system.stop());

    describe('200', () => {
      it('lists one active, caught-up build per view', async () => {
        const { items } = await system.done('GET', '/projections');
        expect(items.map(({ view }: { view: string }) => view).sort()).toEqual(Object.keys(VIEW_VERSIONS).sort());
        for (const item of items)
          expect(item).toMatchObject({
            version: VIEW_VERSIONS[item.view as ViewName],
            active: true,
            ready: true,
            lagSeconds: 0,
            owner: 'standalone',
            parkedStreams: 0,
          });
      });

      it('returns an empty list when no stream is parked', async () => {
        expect(await failed()).toEqual([]);
      });

      it('returns the result of a replay, and shows it with the event that failed', async () => {
        await appendUnreadable(system);
        const items = await parked();
        expect(
          items.map(({ stream, waiting }: { stream: string; waiting: number }) => [stream, waiting]),
        ).toContainEqual([STREAM, 1]);
        expect(JSON.stringify(items)).not.toContain('phc');
        const answer = await ask('POST', '/projections/secrets/replay', { stream: STREAM });
        const result = {
          at: expect.any(String),
          events: 0,
          waiting: 1,
          cause: expect.stringContaining('unknown type'),
        };
        expect([answer.status, answer.body]).toEqual([
          200,
          { view: 'secrets', stream: STREAM, builds: [{ build: expect.stringMatching(/^secrets\.v\d+\./), result }] },
        ]);
        const [noted] = await failed('?view=secrets');
        expect(noted).toMatchObject({ replay: { askedBy: 'token:admin', answered: true, result } });
        expect(await projection('secrets')).toMatchObject([{ parkedStreams: 1 }]);
      });
    });

    describe('202', () => {
      it('starts the named build, which becomes active once it has caught up', async () => {
        const answer = await ask('POST', '/projections/domains/rebuild');
        expect(answer).toMatchObject({ status: 202, body: { view: 'domains', build: expect.any(String) } });
        await until('the build to be active', async () =>
          (await projection('domains')).some(
            (each: { build: string; active: boolean }) => each.active && each.build === answer.body.build,
          ),
        );
        expect(await system.done('GET', '/domains/acme')).toMatchObject({ id: 'acme' });
      });
    });

    describe('400', () => {
      it('names the invalid parameter', async () => {
        const field = async (...request: Parameters<TestSystem['ask']>) =>
          (await refused(400, 'invalid_request', ...request)).field;
        expect(await field('POST', '/projections/usage/rebuild')).toBe('view');
        expect(await field('POST', '/projections/secrets/rebuild', { force: true })).toBe('force');
        expect(await field('POST', '/projections/secrets/replay', {})).toBe('stream');
        expect(await field('GET', '/projections/failed?view=none')).toBe('view');
        expect(await field('GET', '/projections/failed?after=none')).toBe('after');
      });
    });

    describe('401', () => {
      it('requires a token', async () => {
        await refused(401, 'unauthenticated', 'GET', '/projections', undefined, { as: null });
      });
    });

    describe('403', () => {
      it('requires the role admin without a limit to domains', async () => {
        for (const as of ['manager', 'auditor', 'viewer', 'proxy', 'limited']) {
          await refused(403, 'forbidden', 'GET', '/projections', undefined, { as });
          await refused(403, 'forbidden', 'GET', '/projections/failed', undefined, { as });
          await refused(403, 'forbidden', 'POST', '/projections/secrets/rebuild', undefined, { as });
          await refused(403, 'forbidden', 'POST', '/projections/secrets/replay', { stream: STREAM }, { as });
        }
      });
    });

    describe('404', () => {
      it('rejects a stream that was never parked', async () => {
        await refused(404, 'not_found', 'POST', '/projections/secrets/replay', { stream: 'application-none' });
      });
    });

    describe('503', () => {
      it('does not start a build that newer code would drop', async () => {
        const database = await SqliteDatabase.open(system.standalone.folder);
        const readModels = await SqliteReadModels.open(database);
        const pointer = await readModels.pointer('notifications');
        if (!pointer) throw new Error('The view has no pointer.');
        expect(await readModels.switchPointer({ ...pointer, version: 2, revision: pointer.revision + 1 })).toBe(true);
        await readModels.close();
        await database.close();
        const { view } = await refused(503, 'unavailable', 'POST', '/projections/notifications/rebuild');
        expect(view).toBe('notifications');
      });
    });
  });

  describe('with answers that do not wait', () => {
    beforeAll(async () => {
      system = await TestSystem.start({ env: { REKEY_COMMANDS_WAITTIMEOUTMS: '0' } });
      await appendUnreadable(system);
      await parked();
    });
    afterAll(() => system.stop());

    describe('202', () => {
      it('accepts a replay, ignores a repeated request, and shows the result later', async () => {
        for (const _ of [1, 2]) {
          const answer = await ask('POST', '/projections/authentication/replay', { stream: STREAM });
          const builds = [{ build: expect.stringMatching(/^authentication\.v1\./) }];
          expect([answer.status, answer.body]).toEqual([202, { view: 'authentication', stream: STREAM, builds }]);
        }
        const [noted] = await until('the result of the replay', async () => {
          const items = await failed('?view=authentication');
          return items[0]?.replay?.answered && items;
        });
        expect(noted).toMatchObject({ stream: STREAM, waiting: 1, replay: { result: { events: 0, waiting: 1 } } });
      });
    });
  });
});

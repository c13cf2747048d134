import fc from 'fast-check';
import { EngineUnavailable, START } from '../event-store';
import type { Build, Pointer, ReadModels } from '../read-models';
import { readModelsCheckpointConformance } from './read-models-checkpoint';
import { readModelsQueriesConformance } from './read-models-queries';
import {
  at,
  buildOf,
  COLLECTION,
  type Counted,
  document,
  INDEXES,
  type ReadModelsUnderTest,
  times,
} from './read-models-store';

const pointerOf = (revision: number, collection = COLLECTION): Pointer => ({
  view: 'secrets',
  version: 1,
  collection,
  revision,
});
/** What every `ReadModels` must hold. */
export const readModelsConformance = (name: string, make: () => Promise<ReadModelsUnderTest>): void => {
  describe(`${name} as ReadModels`, () => {
    let store: ReadModelsUnderTest;
    let models: ReadModels;

    beforeEach(async () => {
      store = await make();
      models = await store.open();
      await models.createBuild(buildOf(), INDEXES);
    });
    afterEach(() => store.remove());

    const read = async (...ids: string[]): Promise<readonly (Counted | null)[]> =>
      (await models.read<Counted>(COLLECTION, ids)).documents;
    const all = (): Promise<Counted[]> => models.find<Counted>(COLLECTION, { limit: 10_000 });

    describe('documents', () => {
      it('are read in the order of the ids, null for missing ones, with the checkpoint', async () => {
        await models.put(COLLECTION, [document('a', 1), document('b', 2)]);
        expect(await models.read(COLLECTION, ['b', 'x', 'a', 'b'])).toEqual({
          documents: [document('b', 2), null, document('a', 1), document('b', 2)],
          checkpoint: START,
        });
        const ids = times(200, (index) => (index % 2 ? 'a' : 'x'));
        expect(await read(...ids)).toEqual(ids.map((id) => (id === 'a' ? document('a', 1) : null)));
        expect(await models.read(COLLECTION, [])).toEqual({ documents: [], checkpoint: START });
      });

      it('are returned as they were put', async () => {
        let place = 0;
        const value = fc.jsonValue({ maxDepth: 3, noUnicodeString: false }).filter((some) => !hasProto(some));
        await fc.assert(
          fc.asyncProperty(value, async (content) => {
            const put = { _id: 'a', position: at(++place), content: JSON.parse(JSON.stringify(content)) as unknown };
            await models.put(COLLECTION, [put]);
            expect((await models.read(COLLECTION, ['a'])).documents).toEqual([put]);
          }),
          { numRuns: 50 },
        );
      });

      it('may have any text as ids', async () => {
        const ids = ["'", '"', '$', 'a.b', ' ', '#', '%', 'ä', '\u{1f511}', '\\', 'x'.repeat(500), '__proto__', '0'];
        await models.put(
          COLLECTION,
          ids.map((id) => document(id, 1)),
        );
        expect(await read(...ids)).toEqual(ids.map((id) => document(id, 1)));
        expect(await all()).toHaveLength(ids.length);
      });

      it('may be put in an empty list', async () => {
        await models.put(COLLECTION, []);
        expect(await all()).toEqual([]);
      });

      it('can be put by the thousands', async () => {
        await models.put(
          COLLECTION,
          times(5_000, (index) => document(`id-${index}`, index)),
        );
        expect(await models.count(COLLECTION)).toBe(5_000);
        expect(await read('id-4999')).toEqual([document('id-4999', 4_999)]);
      });

      it('are separate between collections', async () => {
        await models.createBuild(buildOf({ collection: 'secrets.v1.b2' }), INDEXES);
        await models.put('secrets.v1.b2', [document('a', 1)]);
        expect(await read('a')).toEqual([null]);
        expect(await all()).toEqual([]);
      });

      it('are seen with the checkpoint by every read that starts after they were stored', async () => {
        const other = await store.open();
        await models.claim(COLLECTION, 'one', { owner: '', beat: 0 });
        await models.advance(COLLECTION, 'one', START, at(0));
        for (let place = 1; place <= 30; place++) {
          const [writer, reader] = place % 2 ? [models, other] : [other, models];
          await writer.put(COLLECTION, [document('a', place), document('b', place)]);
          const documents = [document('a', place), document('b', place)];
          for (const handle of [reader, writer])
            for (const _again of [1, 2])
              expect(await handle.read(COLLECTION, ['a', 'b'])).toEqual({ documents, checkpoint: at(place - 1) });
          expect(await reader.find(COLLECTION, { limit: 5 })).toEqual(documents);
          await writer.advance(COLLECTION, 'one', at(place - 1), at(place));
          expect(await reader.read(COLLECTION, ['a', 'b'])).toEqual({ documents, checkpoint: at(place) });
        }
      });
    });

    describe('guard', () => {
      it('stores a newer document, but not an older or equally old one', async () => {
        await models.put(COLLECTION, [document('a', 5, 'first')]);
        await models.put(COLLECTION, [document('a', 5, 'equal')]);
        expect(await read('a')).toEqual([document('a', 5, 'first')]);
        await models.put(COLLECTION, [document('a', 4, 'older')]);
        expect(await read('a')).toEqual([document('a', 5, 'first')]);
        await models.put(COLLECTION, [document('a', 10, 'newer')]);
        expect(await read('a')).toEqual([document('a', 10, 'newer')]);
      });

      it('applies to each document of a put separately', async () => {
        await models.put(COLLECTION, [document('a', 5), document('b', 5)]);
        await models.put(COLLECTION, [document('a', 4, 'no'), document('b', 6), document('c', 1)]);
        expect(await read('a', 'b', 'c')).toEqual([document('a', 5), document('b', 6), document('c', 1)]);
      });

      it('keeps the newest if a put has an id more than once', async () => {
        await models.put(COLLECTION, [document('a', 1), document('a', 3), document('a', 2)]);
        expect(await read('a')).toEqual([document('a', 3)]);
      });

      it('makes replays of any range idempotent', async () => {
        const history = fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 40 });
        const stretch = fc.tuple(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 7 }));
        let round = 0;
        await fc.assert(
          fc.asyncProperty(history, fc.array(stretch, { maxLength: 5 }), async (changes, stretches) => {
            const of = `${++round}-`;
            const events = changes.map((id, place) => document(of + id, place + 1));
            const ids = times(6, (id) => of + id);
            await models.put(COLLECTION, events);
            const before = await read(...ids);
            expect(before).toEqual(ids.map((id) => events.filter(({ _id }) => _id === id).at(-1) ?? null));
            for (const [from, length, batch] of stretches) {
              const part = events.slice(from % events.length).slice(0, 1 + (length % events.length));
              for (let index = 0; index < part.length; index += batch)
                await models.put(COLLECTION, part.slice(index, index + batch));
            }
            expect(await read(...ids)).toEqual(before);
          }),
          { numRuns: 25 },
        );
      });

      it('keeps the newest of each id with concurrent writers', async () => {
        const writers = [models, await store.open(), await store.open()];
        const puts = times(60, (index) => document(`id-${index % 4}`, 1 + ((index * 37) % 60)));
        await Promise.all(puts.map((put, index) => (writers[index % 3] ?? models).put(COLLECTION, [put])));
        const ids = times(4, (index) => `id-${index}`);
        const newest = ids.map((id) =>
          puts.filter(({ _id }) => _id === id).reduce((a, b) => (b.position > a.position ? b : a)),
        );
        for (const writer of writers) expect((await writer.read(COLLECTION, ids)).documents).toEqual(newest);
      });

      it('does nothing if the collection is gone', async () => {
        await models.dropBuild(COLLECTION);
        await models.put(COLLECTION, [document('a', 1)]);
        expect(await models.read(COLLECTION, ['a'])).toEqual({ documents: [null], checkpoint: null });
        await models.createBuild(buildOf(), INDEXES);
        expect(await read('a')).toEqual([null]);
      });
    });

    describe('accumulate', () => {
      const USED = '2027-01-01T00:00:00.000Z';

      it('creates a missing document, adds to fields and sets fields', async () => {
        await models.accumulate(COLLECTION, [{ _id: 's', add: { count: 2 }, set: { text: 'here', never: null } }]);
        const made = { _id: 's', position: START, count: 2, text: 'here', never: null };
        expect(await read('s')).toEqual([made]);
        await models.accumulate(COLLECTION, [
          { _id: 's', add: { count: 3, failures: 1 }, set: { text: USED, hot: true } },
          { _id: 't', add: {}, set: { text: 'x' } },
        ]);
        expect(await read('s', 't')).toEqual([
          { ...made, count: 5, failures: 1, text: USED, hot: true },
          { _id: 't', position: START, text: 'x' },
        ]);
        expect(await models.find(COLLECTION, { filter: { field: 'text', op: 'eq', value: USED }, limit: 2 })).toEqual(
          await read('s'),
        );
      });

      it('adds each change of one call, also several of one id', async () => {
        const change = { _id: 's', add: { count: 1 }, set: {} };
        await models.accumulate(COLLECTION, [change, change, change]);
        await models.accumulate(COLLECTION, []);
        expect(await read('s')).toMatchObject([{ count: 3 }]);
      });

      it('loses nothing with concurrent writers', async () => {
        const other = await store.open();
        const change = [{ _id: 's', add: { count: 1 }, set: {} }];
        await Promise.all(times(100, (index) => (index % 2 ? models : other).accumulate(COLLECTION, change)));
        expect(await read('s')).toMatchObject([{ count: 100 }]);
      });

      it('throws EngineUnavailable if the collection is gone', async () => {
        await models.dropBuild(COLLECTION);
        const change = { _id: 's', add: { count: 1 }, set: {} };
        await expect(models.accumulate(COLLECTION, [change])).rejects.toThrow(EngineUnavailable);
      });
    });

    readModelsQueriesConformance(() => store);
    readModelsCheckpointConformance(() => store);

    describe('builds', () => {
      it('are listed, of one view or all', async () => {
        const other = buildOf({ collection: 'domains.v2.b9', view: 'domains', version: 2, target: at(7) });
        const second = buildOf({ collection: 'secrets.v1.b2' });
        await models.createBuild(other, []);
        await models.createBuild(second, []);
        const byName = (builds: Build[]): Build[] => builds.sort((a, b) => (a.collection < b.collection ? -1 : 1));
        expect(byName(await models.builds('secrets'))).toEqual([buildOf(), second]);
        expect(byName(await models.builds())).toEqual([other, buildOf(), second]);
        expect(await models.builds('applications')).toEqual([]);
      });

      it('are unchanged when created again, also concurrently', async () => {
        await models.put(COLLECTION, [document('a', 1)]);
        const others = await Promise.all([store.open(), store.open()]);
        const second = (owner: string): Build => buildOf({ collection: 'secrets.v1.b2', storeIdentity: owner });
        await Promise.all(others.map((other) => other.createBuild(buildOf({ storeIdentity: 'other' }), INDEXES)));
        await Promise.all(others.map((other, index) => other.createBuild(second(`s${index}`), INDEXES)));
        const builds = await models.builds();
        expect(builds).toHaveLength(2);
        expect(builds).toContainEqual(buildOf());
        expect(await read('a')).toEqual([document('a', 1)]);
      });

      it('are gone with their documents when dropped', async () => {
        await models.put(COLLECTION, [document('a', 1)]);
        await models.dropBuild(COLLECTION);
        await models.dropBuild(COLLECTION);
        expect(await models.builds()).toEqual([]);
        expect(await models.read(COLLECTION, ['a'])).toEqual({ documents: [null], checkpoint: null });
        await expect(models.find(COLLECTION, { limit: 1 })).rejects.toThrow(EngineUnavailable);
        await expect(models.count(COLLECTION)).rejects.toThrow(EngineUnavailable);
        await models.createBuild(buildOf(), [{ name: 'other', fields: ['other'] }]);
        expect(await all()).toEqual([]);
        expect(await models.find(COLLECTION, { sort: { field: 'other' }, limit: 1 })).toEqual([]);
      });

      it('are gone for other connections too', async () => {
        const other = await store.open();
        await models.put(COLLECTION, [document('a', 1)]);
        expect((await other.read(COLLECTION, ['a'])).documents).toEqual([document('a', 1)]);
        expect(await other.count(COLLECTION)).toBe(1);
        await models.dropBuild(COLLECTION);
        expect(await other.read(COLLECTION, ['a'])).toEqual({ documents: [null], checkpoint: null });
        await expect(other.count(COLLECTION)).rejects.toThrow(EngineUnavailable);
      });
    });

    describe('pointer', () => {
      it('is null at first, then the one stored last', async () => {
        expect(await models.pointer('secrets')).toBeNull();
        expect(await models.switchPointer(pointerOf(1))).toBe(true);
        const next: Pointer = { ...pointerOf(2, 'secrets.v1.b2'), previous: COLLECTION };
        expect(await models.switchPointer(next)).toBe(true);
        expect(await (await store.open()).pointer('secrets')).toEqual(next);
        expect(await models.pointer('domains')).toBeNull();
      });

      it('is switched only from the previous revision', async () => {
        expect(await models.switchPointer(pointerOf(2))).toBe(false);
        expect(await models.pointer('secrets')).toBeNull();
        expect(await models.switchPointer(pointerOf(1))).toBe(true);
        for (const revision of [0, 1, 3])
          expect(await models.switchPointer(pointerOf(revision, 'secrets.v1.no'))).toBe(false);
        expect(await models.pointer('secrets')).toEqual(pointerOf(1));
      });

      it('is switched by exactly one of many concurrent switches', async () => {
        const other = await store.open();
        for (let revision = 1; revision <= 3; revision++) {
          const switches = await Promise.all(
            times(20, (index) =>
              (index % 2 ? models : other).switchPointer(pointerOf(revision, `secrets.v1.r${index}`)),
            ),
          );
          expect(switches.filter(Boolean)).toHaveLength(1);
          expect(await models.pointer('secrets')).toEqual(pointerOf(revision, `secrets.v1.r${switches.indexOf(true)}`));
        }
      });
    });

    it('keeps documents, builds and pointers after a restart', async () => {
      await models.put(COLLECTION, [document('a', 1), document('b', 2)]);
      await models.claim(COLLECTION, 'one', { owner: '', beat: 0 });
      await models.advance(COLLECTION, 'one', START, at(2));
      await models.switchPointer(pointerOf(1));
      await models.close();
      await store.restart();

      models = await store.open();
      expect(await models.read(COLLECTION, ['a', 'b'])).toEqual({
        documents: [document('a', 1), document('b', 2)],
        checkpoint: at(2),
      });
      expect(await models.builds()).toEqual([buildOf({ owner: 'one', beat: 2, checkpoint: at(2) })]);
      expect(await models.pointer('secrets')).toEqual(pointerOf(1));
      await models.put(COLLECTION, [document('a', 1, 'again'), document('b', 3)]);
      expect(await all()).toEqual([document('a', 1), document('b', 3)]);
    });
  });
};

/** Excludes `__proto__` as a key, which does not survive an object literal. No view uses it. */
const hasProto = (value: unknown): boolean => JSON.stringify(value).includes('__proto__');

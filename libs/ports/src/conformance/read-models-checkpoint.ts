import fc from 'fast-check';
import { START } from '../event-store';
import type { Build, Changes, ReadModels } from '../read-models';
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

/** Conformance suite of leases, checkpoints and `reached`. */
export const readModelsCheckpointConformance = (store: () => ReadModelsUnderTest): void => {
  describe('lease and checkpoint', () => {
    let models: ReadModels;

    beforeEach(async () => {
      models = await store().open();
      await models.createBuild(buildOf(), INDEXES);
    });

    describe('lease', () => {
      it('is given to exactly one of many concurrent claims', async () => {
        const handles = [models, await store().open(), await store().open()];
        let seen = buildOf();
        for (let round = 0; round < 3; round++) {
          const claims = times(30, (index) =>
            (handles[index % 3] ?? models).claim(COLLECTION, `owner-${round}-${index}`, seen),
          );
          const won = (await Promise.all(claims)).filter((claim) => claim != null);
          expect(won).toHaveLength(1);
          const [build] = won as [Build];
          expect(await models.builds()).toEqual([build]);
          expect(build).toEqual({ ...buildOf(), owner: build.owner, beat: seen.beat + 1 });
          seen = build;
        }
      });

      it('is not given if the owner sent a heartbeat, or the build is gone', async () => {
        expect(await models.claim(COLLECTION, 'one', { owner: '', beat: 0 })).toMatchObject({ owner: 'one', beat: 1 });
        expect(await models.advance(COLLECTION, 'one', START, START)).toBe(true);
        expect(await models.claim(COLLECTION, 'two', { owner: 'one', beat: 1 })).toBeNull();
        expect(await models.claim(COLLECTION, 'two', { owner: '', beat: 2 })).toBeNull();
        expect(await models.claim(COLLECTION, 'two', { owner: 'one', beat: 2 })).toMatchObject({ owner: 'two' });
        await models.dropBuild(COLLECTION);
        expect(await models.claim(COLLECTION, 'three', { owner: 'two', beat: 3 })).toBeNull();
      });
    });

    describe('checkpoint', () => {
      it('is moved, or kept as a heartbeat, by the owner only', async () => {
        await models.claim(COLLECTION, 'one', { owner: '', beat: 0 });
        expect(await models.advance(COLLECTION, 'one', START, at(3))).toBe(true);
        expect(await models.advance(COLLECTION, 'one', at(3), at(3))).toBe(true);
        const moved = buildOf({ owner: 'one', checkpoint: at(3), beat: 3 });
        expect(await models.builds()).toEqual([moved]);
        expect((await models.read(COLLECTION, [])).checkpoint).toBe(at(3));

        expect(await models.advance(COLLECTION, 'two', at(3), at(4))).toBe(false);
        expect(await models.advance(COLLECTION, '', at(3), at(4))).toBe(false);
        expect(await models.advance(COLLECTION, 'one', START, at(4))).toBe(false);
        expect(await models.advance(COLLECTION, 'one', at(2), at(4))).toBe(false);
        expect(await models.builds()).toEqual([moved]);

        await models.claim(COLLECTION, 'two', moved);
        expect(await models.advance(COLLECTION, 'one', at(3), at(4))).toBe(false);
        expect(await models.advance(COLLECTION, 'two', at(3), at(4))).toBe(true);
      });

      it('is moved by exactly one of many concurrent advances from the same position', async () => {
        await models.claim(COLLECTION, 'one', { owner: '', beat: 0 });
        const other = await store().open();
        const moves = await Promise.all(
          times(20, (index) => (index % 2 ? models : other).advance(COLLECTION, 'one', START, at(1 + index))),
        );
        expect(moves.filter(Boolean)).toHaveLength(1);
        expect((await models.read(COLLECTION, [])).checkpoint).toBe(at(1 + moves.indexOf(true)));
      });

      it('cannot be moved if the build is gone', async () => {
        await models.claim(COLLECTION, 'one', { owner: '', beat: 0 });
        await models.dropBuild(COLLECTION);
        expect(await models.advance(COLLECTION, 'one', START, at(1))).toBe(false);
        expect(await models.builds()).toEqual([]);
      });
    });

    describe('documents that are stored with the checkpoint', () => {
      const made = (...documents: Counted[]): Changes => ({ documents, before: new Map() });

      beforeEach(async () => {
        await models.claim(COLLECTION, 'one', { owner: '', beat: 0 });
        await models.advance(COLLECTION, 'one', START, at(0));
      });

      it('are stored when it has moved, also many of them, or one twice', async () => {
        expect(await models.advance(COLLECTION, 'one', at(0), at(1), made(document('a', 1), document('b', 1)))).toBe(
          true,
        );
        const changes = {
          documents: [document('a', 2), document('c', 3), document('a', 3)],
          before: new Map([['a', document('a', 1)]]),
        };
        expect(await models.advance(COLLECTION, 'one', at(1), at(3), changes)).toBe(true);
        expect(await models.read(COLLECTION, ['a', 'b', 'c'])).toEqual({
          documents: [document('a', 3), document('b', 1), document('c', 3)],
          checkpoint: at(3),
        });
        const many = times(300, (index) => document(`many-${index}`, 4));
        expect(await models.advance(COLLECTION, 'one', at(3), at(4), made(...many))).toBe(true);
        const ids = many.map(({ _id }) => _id);
        expect(await models.read(COLLECTION, ids)).toEqual({ documents: many, checkpoint: at(4) });
        expect(await models.find(COLLECTION, { limit: 1 })).toEqual([document('a', 3)]);
        expect(await models.count(COLLECTION)).toBe(303);
      });

      it('are guarded by their positions, whatever was written since they were read', async () => {
        const place = fc.option(fc.integer({ min: 1, max: 9 }), { nil: 0 });
        let from = at(0);
        let round = 0;
        await fc.assert(
          fc.asyncProperty(fc.array(fc.tuple(place, place), { minLength: 1, maxLength: 4 }), async (places) => {
            // What is stored only ever gets newer.
            const cases = places.map(([one, other]) => [Math.max(one, other), Math.min(one, other)] as const);
            const cause = ++round;
            const ids = cases.map((_, index) => `${cause}-${index}`);
            const versionOf = (index: number, version: number) =>
              version === 0 ? null : document(`${cause}-${index}`, version, 'before');
            const stored = cases.map(([version], index) => versionOf(index, version));
            await models.put(
              COLLECTION,
              stored.filter((each) => each !== null),
            );
            const before = new Map(cases.map(([, version], index) => [`${cause}-${index}`, versionOf(index, version)]));
            const documents = ids.map((id) => document(id, 5, 'next'));
            const to = at(9 + cause);
            expect(await models.advance(COLLECTION, 'one', from, to, { documents, before })).toBe(true);
            from = to;
            const expected = cases.map(([version], index) => (version < 5 ? documents[index] : stored[index]));
            expect(await models.read(COLLECTION, ids)).toEqual({ documents: expected, checkpoint: to });
          }),
          { numRuns: 40 },
        );
      });

      it('do not move it after the lease was lost, or from another position', async () => {
        const changes = made(document('a', 2));
        expect(await models.advance(COLLECTION, 'two', at(0), at(2), changes)).toBe(false);
        expect(await models.advance(COLLECTION, '', at(0), at(2), changes)).toBe(false);
        expect(await models.advance(COLLECTION, 'one', at(1), at(2), changes)).toBe(false);
        expect((await models.read(COLLECTION, [])).checkpoint).toBe(at(0));
        expect(await models.advance(COLLECTION, 'one', at(0), at(2), changes)).toBe(true);
        expect(await models.read(COLLECTION, ['a'])).toEqual({ documents: [document('a', 2)], checkpoint: at(2) });
      });

      it('leave it unchanged if one of them cannot be stored', async () => {
        const broken = made(document('a', 1), document('', 1));
        await expect(models.advance(COLLECTION, 'one', at(0), at(1), broken)).rejects.toMatchObject({
          code: 'invalid_request',
        });
        expect((await models.read(COLLECTION, [])).checkpoint).toBe(at(0));
        expect(await models.advance(COLLECTION, 'one', at(0), at(1), made(document('a', 1)))).toBe(true);
        expect(await models.read(COLLECTION, ['a'])).toEqual({ documents: [document('a', 1)], checkpoint: at(1) });
      });

      it('do not create a collection that is gone', async () => {
        await models.dropBuild(COLLECTION);
        expect(await models.advance(COLLECTION, 'one', at(0), at(1), made(document('a', 1)))).toBe(false);
        expect(await models.builds()).toEqual([]);
        await models.createBuild(buildOf(), INDEXES);
        expect(await models.read(COLLECTION, ['a'])).toEqual({ documents: [null], checkpoint: START });
      });
    });

    describe('reached', () => {
      const LONG_MS = 20_000;

      beforeEach(() => models.claim(COLLECTION, 'one', { owner: '', beat: 0 }));

      it('returns true at once for a position at or before the checkpoint', async () => {
        await models.advance(COLLECTION, 'one', START, at(5));
        for (const place of [START, at(1), at(5)]) expect(await models.reached(COLLECTION, place, 0)).toBe(true);
      });

      it('returns true as soon as the checkpoint gets there, whichever process moves it', async () => {
        const other = await store().open();
        const waits = [1, 2, 2, 3].map((place) => models.reached(COLLECTION, at(place), LONG_MS));
        const elsewhere = [1, 3].map((place) => other.reached(COLLECTION, at(place), LONG_MS));
        await models.advance(COLLECTION, 'one', START, at(1));
        expect(await Promise.all([waits[0], elsewhere[0]])).toEqual([true, true]);
        await other.advance(COLLECTION, 'one', at(1), at(9));
        expect(await Promise.all([...waits, ...elsewhere])).toEqual(times(6, () => true));
      });

      it('returns false on timeout', async () => {
        await models.advance(COLLECTION, 'one', START, at(5));
        expect(await models.reached(COLLECTION, at(6), 0)).toBe(false);
        expect(await models.reached(COLLECTION, at(6), 30)).toBe(false);
      });

      it('returns false if the build is gone, or is dropped meanwhile', async () => {
        expect(await models.reached('secrets.v1.none', START, LONG_MS)).toBe(false);
        const other = await store().open();
        const waits = [models, other].map((handle) => handle.reached(COLLECTION, at(1), LONG_MS));
        await models.dropBuild(COLLECTION);
        expect(await Promise.all(waits)).toEqual([false, false]);
      });
    });
  });
};

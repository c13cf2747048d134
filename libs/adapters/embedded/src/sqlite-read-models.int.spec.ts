import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Build, EngineUnavailable, type ReadModels, START, type ViewDocument } from '@rekey/ports';
import { type ReadModelsUnderTest, readModelsConformance } from '@rekey/ports/conformance';
import Database from 'libsql';
import { SqliteDatabase } from './sqlite-database';
import { STORE_FILE } from './store-file';
import { SqliteReadModels } from './sqlite-read-models';

const store = async (): Promise<ReadModelsUnderTest & { folder: string }> => {
  const folder = await mkdtemp(path.join(tmpdir(), 'rekey-read-models-'));
  let open: { database: SqliteDatabase; models: SqliteReadModels }[] = [];
  const restart = async (): Promise<void> => {
    for (const { database, models } of open) await models.close().then(() => database.close());
    open = [];
  };
  return {
    folder,
    open: async () => {
      const database = await SqliteDatabase.open(folder);
      const models = await SqliteReadModels.open(database);
      open.push({ database, models });
      return models;
    },
    restart,
    remove: () => restart().then(() => rm(folder, { recursive: true })),
  };
};

readModelsConformance('SqliteReadModels', store);

describe('SqliteReadModels', () => {
  const COLLECTION = 'authentication.v1.b1';
  const TABLE = `"view:${COLLECTION}"`;
  const at = (place: number): string => String(place).padStart(19, '0');
  const build: Build = {
    collection: COLLECTION,
    view: 'authentication',
    version: 1,
    storeIdentity: 'store-1',
    target: START,
    checkpoint: at(0),
    owner: 'projector',
    beat: 0,
  };
  const document = (id: string, place: number): ViewDocument & { name: string } => ({
    _id: id,
    position: at(place),
    name: `${id}@${place}`,
  });

  let under: Awaited<ReturnType<typeof store>>;
  let models: ReadModels;
  let stranger: Database.Database;

  beforeEach(async () => {
    under = await store();
    models = await under.open();
    await models.createBuild(build, [{ name: 'name', fields: ['name'] }]);
    stranger = new Database(path.join(under.folder, STORE_FILE), { timeout: 5_000 });
  });
  afterEach(async () => {
    stranger.close();
    await under.remove();
  });

  /** Changes the file in one transaction, as another process would. */
  const meddle = (...statements: string[]): void => {
    stranger.exec(['BEGIN IMMEDIATE', ...statements, 'COMMIT'].join(';'));
  };
  const gone = { documents: [null, null], checkpoint: null };
  const read = () => models.read(COLLECTION, ['a', 'b']);

  it('notices at once that a collection was emptied, dropped or restored by someone else, and recovers', async () => {
    await models.put(COLLECTION, [document('a', 1), document('b', 1)]);
    await models.advance(COLLECTION, 'projector', at(0), at(1));
    meddle(`CREATE TABLE copy AS SELECT id, position, document FROM ${TABLE}`);
    await models.put(COLLECTION, [document('a', 2)]);
    await models.advance(COLLECTION, 'projector', at(1), at(2));
    expect(await read()).toEqual({ documents: [document('a', 2), document('b', 1)], checkpoint: at(2) });

    meddle(
      `DELETE FROM ${TABLE}`,
      `INSERT INTO ${TABLE} (id, position, document) SELECT id, position, document FROM copy`,
    );
    expect(await read()).toEqual({ documents: [document('a', 1), document('b', 1)], checkpoint: at(1) });
    expect(await models.find(COLLECTION, { limit: 5 })).toEqual([document('a', 1), document('b', 1)]);
    expect(await models.advance(COLLECTION, 'projector', at(2), at(3))).toBe(false);
    expect(await models.reached(COLLECTION, at(2), 0)).toBe(false);

    for (const harm of [`DELETE FROM ${TABLE}`, `DROP TABLE ${TABLE}`]) {
      meddle(harm);
      expect(await read()).toEqual(gone);
      expect(await models.builds()).toEqual([]);
      await expect(models.find(COLLECTION, { limit: 5 })).rejects.toThrow(EngineUnavailable);
      await expect(models.count(COLLECTION)).rejects.toThrow(EngineUnavailable);
      expect(await models.advance(COLLECTION, 'projector', at(1), at(2))).toBe(false);
      expect(await models.claim(COLLECTION, 'x', { owner: 'projector', beat: 0 })).toBeNull();
      await models.put(COLLECTION, [document('a', 9)]);
      expect(await models.reached(COLLECTION, START, 0)).toBe(false);

      await models.createBuild(build, [{ name: 'name', fields: ['name'] }]);
      expect(await read()).toEqual({ documents: [null, null], checkpoint: at(0) });
      await models.put(COLLECTION, [document('a', 1), document('b', 1)]);
      expect(await models.find(COLLECTION, { sort: { field: 'name' }, limit: 5 })).toHaveLength(2);
    }
  });

  it('returns everything it has reported, even if it checks for changes once per turn and a commit falls into one', async () => {
    const database = await SqliteDatabase.open(under.folder);
    const alone = await SqliteReadModels.open(database, { alone: true });
    try {
      await alone.put(COLLECTION, [document('a', 1)]);
      const checkpoint = async (): Promise<string | null> => (await alone.read(COLLECTION, ['a'])).checkpoint;
      let place = 0;
      const next = (): string => {
        meddle(`UPDATE ${TABLE} SET position = '${at(++place)}' WHERE id = ''`);
        return at(place);
      };
      const tellers: ((position: string) => Promise<void>)[] = [
        async (position) => expect(await alone.reached(COLLECTION, position, 0)).toBe(true),
        async (position) => expect(await alone.builds()).toMatchObject([{ checkpoint: position }]),
      ];
      for (const told of tellers) {
        // Nothing below waits for more than is there already: it is all one turn of the event loop.
        await new Promise(setImmediate);
        expect([await checkpoint(), await checkpoint()]).toEqual([at(place), at(place)]);
        const position = next();
        await told(position);
        expect(await checkpoint()).toBe(position);
      }
    } finally {
      await alone.close();
      await database.close();
    }
  });

  it('never mixes two states in one read while the collection is changed, dropped or restored', async () => {
    await models.put(COLLECTION, [document('a', 1), document('b', 1)]);
    await models.advance(COLLECTION, 'projector', at(0), at(1));
    meddle(`CREATE TABLE copy AS SELECT id, position, document FROM ${TABLE}`);
    let over = false;

    /** Projects on and on: both documents with the checkpoint, as a projector does; begins anew wherever it finds itself. */
    const project = async (): Promise<void> => {
      while (!over) {
        const [found] = await models.builds();
        if (!found) await models.createBuild(build, [{ name: 'name', fields: ['name'] }]);
        const place = Number(found?.checkpoint ?? 0) + 1;
        const changes = { documents: [document('a', place), document('b', place)], before: new Map() };
        await models.advance(COLLECTION, 'projector', at(place - 1), at(place), changes);
      }
    };
    const harms = [
      [`DELETE FROM ${TABLE}`, `INSERT INTO ${TABLE} (id, position, document) SELECT id, position, document FROM copy`],
      [`DELETE FROM ${TABLE}`],
      [`DROP TABLE IF EXISTS ${TABLE}`],
    ];
    const disturb = async (): Promise<void> => {
      for (let round = 0; round < 60 && !over; round++) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        try {
          meddle(...(harms[round % 3] ?? []));
        } catch (error) {
          // The one before has dropped the table, and the projector has not made it again yet.
          if (stranger.inTransaction) stranger.exec('ROLLBACK');
          expect(String(error)).toContain('no such table');
        }
      }
    };

    const seen = { whole: 0, gone: 0 };
    const check = async (): Promise<void> => {
      while (!over) {
        const { documents, checkpoint } = await read();
        const [a, b] = documents;
        if (checkpoint === null) {
          expect(documents).toEqual([null, null]);
          seen.gone++;
        } else {
          expect(a?.position).toBe(b?.position);
          // The checkpoint is stored with the documents; an emptied collection begins with neither. How far they are
          // ahead of it is not said: a copy may be put back between the projector's look and its write.
          expect(Number(a?.position ?? 0) - Number(checkpoint)).toBeGreaterThanOrEqual(0);
          seen.whole++;
        }
        if ((seen.whole + seen.gone) % 50 === 0) await new Promise(setImmediate);
      }
    };
    // Whoever ends, or fails, ends the others, before the store is closed under them.
    const works = [project(), disturb(), check()].map((work) => work.finally(() => (over = true)));
    await Promise.allSettled(works);
    await Promise.all(works);
    expect(seen.whole).toBeGreaterThan(0);
    expect(seen.gone).toBeGreaterThan(0);
  });

  it('answers reads by id during a slow search', async () => {
    for (let from = 0; from < 20_000; from += 5_000)
      await models.put(
        COLLECTION,
        Array.from({ length: 5_000 }, (_, index) => document(`id-${from + index}`, 1)),
      );
    let over = false;
    let reads = 0;
    const search = models
      .find(COLLECTION, { filter: { field: 'name', op: 'contains', value: 'nothing' }, limit: 5 })
      .then((found) => {
        over = true;
        return found;
      });
    for (; !over; reads++) {
      await models.read(COLLECTION, ['id-1']);
      await new Promise(setImmediate);
    }
    expect(await search).toEqual([]);
    expect(reads).toBeGreaterThan(5);
  });

  it('throws EngineUnavailable for a damaged document', async () => {
    await models.dropBuild(COLLECTION);
    await models.createBuild(build, []);
    await models.put(COLLECTION, [document('a', 1)]);
    meddle(`UPDATE ${TABLE} SET document = '{"cut o' WHERE id = 'a'`);
    await expect(read()).rejects.toThrow(EngineUnavailable);
    await expect(models.find(COLLECTION, { limit: 5 })).rejects.toThrow(EngineUnavailable);
  });

  it('throws EngineUnavailable after it is closed', async () => {
    const waiting = expect(models.reached(COLLECTION, at(9), 20_000)).rejects.toThrow(EngineUnavailable);
    await under.restart();
    await waiting;
    const asked = [
      () => models.read(COLLECTION, ['a']),
      () => models.find(COLLECTION, { limit: 1 }),
      () => models.count(COLLECTION),
      () => models.put(COLLECTION, [document('a', 1)]),
      () => models.accumulate(COLLECTION, [{ _id: 'a', add: { count: 1 }, set: {} }]),
      () => models.createBuild(build, []),
      () => models.builds(),
      () => models.dropBuild(COLLECTION),
      () => models.claim(COLLECTION, 'x', { owner: '', beat: 0 }),
      () => models.advance(COLLECTION, 'x', START, START),
      () => models.pointer('authentication'),
      () => models.switchPointer({ view: 'authentication', version: 1, collection: COLLECTION, revision: 1 }),
      () => models.reached(COLLECTION, START, 0),
    ];
    for (const ask of asked) await expect(ask()).rejects.toThrow(EngineUnavailable);
  });

  it.each(['', 'a"; DROP TABLE events; --', '../x', 'Upper.v1.b', 'x'.repeat(300)])(
    'refuses "%s" for the name of a collection',
    async (collection) => {
      await expect(models.createBuild({ ...build, collection }, [])).rejects.toMatchObject({ code: 'invalid_request' });
      await expect(models.read(collection, ['a'])).rejects.toMatchObject({ code: 'invalid_request' });
    },
  );

  describe('a build of existing events', () => {
    const LATE = 'secrets.v1.late';
    const late: Build = { ...build, collection: LATE, view: 'secrets', target: at(2) };
    const indexes = [
      { name: 'name', fields: ['name', 'place'] },
      { name: 'place', fields: ['place', 'name'] },
      { name: 'size', fields: ['size'] },
    ];
    const made = (): string[] =>
      stranger
        .prepare(
          "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = ? ORDER BY name",
        )
        .raw()
        .all([`view:${LATE}`])
        .map((row) => String((row as string[])[0]).slice(`view:${LATE}/`.length));

    beforeEach(() => models.createBuild(late, indexes));

    it('has its indexes once it has reached its target, not before', async () => {
      await models.put(LATE, [document('a', 1), document('b', 2)]);
      expect(await models.advance(LATE, 'projector', at(0), at(1))).toBe(true);
      expect(made()).toEqual([]);
      expect(await models.advance(LATE, 'projector', at(1), at(2))).toBe(true);
      expect(made()).toEqual(['name', 'place', 'size']);
      expect(await models.builds('secrets')).toEqual([{ ...late, checkpoint: at(2), beat: 2 }]);
      expect(await models.advance(LATE, 'projector', at(2), at(3))).toBe(true);
    });

    it('answers queries before that, and creates the indexes that they can use', async () => {
      await models.put(LATE, [document('b', 1), document('a', 2)]);
      const sorted = await models.find(LATE, { sort: { field: 'name' }, limit: 5 });
      expect(sorted.map(({ _id }) => _id)).toEqual(['a', 'b']);
      expect(made()).toEqual(['name']);
      expect(await models.count(LATE, { field: 'size', op: 'eq', value: null })).toBe(2);
      expect(made()).toEqual(['name', 'size']);
      await expect(models.count(LATE, { field: 'other', op: 'eq', value: 1 })).rejects.toMatchObject({
        code: 'invalid_request',
      });
    });

    it('creates the remaining indexes after a restart', async () => {
      await models.find(LATE, { filter: { field: 'size', op: 'eq', value: 1 }, limit: 5 });
      await under.restart();
      models = await under.open();
      await models.createBuild(late, indexes);
      expect(made()).toEqual(['size']);
      expect(await models.advance(LATE, 'projector', at(0), at(2))).toBe(true);
      expect(made()).toEqual(['name', 'place', 'size']);
    });

    it('has its indexes at once if there are no events yet', async () => {
      await models.dropBuild(LATE);
      await models.createBuild({ ...late, target: START }, indexes);
      expect(made()).toEqual(['name', 'place', 'size']);
    });

    it('may be dropped before a query or before it reaches its target', async () => {
      meddle(`DROP TABLE "view:${LATE}"`);
      await expect(models.find(LATE, { sort: { field: 'name' }, limit: 5 })).rejects.toThrow(EngineUnavailable);
      expect(await models.advance(LATE, 'projector', at(0), at(2))).toBe(false);
    });
  });
});

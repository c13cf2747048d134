import { EngineUnavailable, START, type Build, type ViewDocument } from '@rekey/ports';
import { NativeEngine, type Proxy, describeOn, ownEngine, proxyTo } from '@rekey/testing';
import { rmSync } from 'node:fs';
import { inspect } from 'node:util';
import { type Document, MongoClient } from 'mongodb';
import { MongoDatabase } from './mongo-database';
import { MongoOutcomes } from './mongo-outcomes';
import { MongoReadModels } from './mongo-read-models';
import { databaseName, dropDatabase } from './mongodb.testing';

const COLLECTION = 'authentication.v1.b1';
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
const INDEXES = [{ name: 'name', fields: ['name'] }];
const document = (id: string, place: number): ViewDocument & { name: string } => ({
  _id: id,
  position: at(place),
  name: `${id}@${place}`,
});

// The driver's timeouts run beside ours, and load on the machine stretches both, so a test is retried. The first failure
// is logged.
jest.retryTimes(2, { logErrorsBeforeRetry: true });

interface MonitoredServer {
  readonly monitor: { close(): void };
}

/** The servers in the driver's private topology. Fails if an upgrade of the driver has changed it. */
const monitoredServers = (database: MongoDatabase): readonly MonitoredServer[] => {
  const { client } = database as unknown as {
    client: { topology?: { s?: { servers?: Map<string, MonitoredServer> } } };
  };
  const servers = [...(client.topology?.s?.servers?.values() ?? [])];
  if (servers.length === 0 || servers.some(({ monitor }) => typeof monitor?.close !== 'function'))
    throw new Error('The private parts of the mongodb driver have changed: review `replaceClientIfStuck`.');
  return servers;
};

describeOn(['mongodb'], ({ mongodb: uri }) => {
  let name: string;
  let database: MongoDatabase;
  let models: MongoReadModels;
  let stranger: MongoClient;
  const stored = () => stranger.db(name).collection<Document & { _id: string }>(`view:${COLLECTION}`);
  const read = () => models.read(COLLECTION, ['a', 'b']);

  beforeEach(async () => {
    name = databaseName();
    database = new MongoDatabase({ uri, database: name, timeoutMs: 10_000 });
    models = new MongoReadModels(database);
    stranger = new MongoClient(uri);
    await models.createBuild(build, INDEXES);
  });
  afterEach(async () => {
    await models.close();
    await database.close();
    await stranger.close();
    await dropDatabase(uri, name);
  });

  it('notices that a collection was emptied, dropped or restored by someone else, and recovers', async () => {
    await models.put(COLLECTION, [document('a', 1), document('b', 1)]);
    await models.advance(COLLECTION, 'projector', at(0), at(1));
    const copy = await stored().find().toArray();
    await models.put(COLLECTION, [document('a', 2)]);
    await models.advance(COLLECTION, 'projector', at(1), at(2));
    expect(await read()).toEqual({ documents: [document('a', 2), document('b', 1)], checkpoint: at(2) });

    await stored().deleteMany({});
    await stored().insertMany(copy);
    expect(await read()).toEqual({ documents: [document('a', 1), document('b', 1)], checkpoint: at(1) });
    expect(await models.advance(COLLECTION, 'projector', at(2), at(3))).toBe(false);
    expect(await models.reached(COLLECTION, at(2), 0)).toBe(false);

    const harms = [() => stored().deleteMany({}), () => stored().drop(), () => stored().deleteOne({ _id: '' })];
    for (const harm of harms) {
      await harm();
      expect(await read()).toEqual({ documents: [null, null], checkpoint: null });
      expect(await models.builds()).toEqual([]);
      await expect(models.find(COLLECTION, { limit: 5 })).rejects.toThrow(EngineUnavailable);
      await expect(models.count(COLLECTION)).rejects.toThrow(EngineUnavailable);
      expect(await models.advance(COLLECTION, 'projector', at(1), at(2))).toBe(false);
      expect(await models.claim(COLLECTION, 'x', { owner: 'projector', beat: 0 })).toBeNull();
      await models.put(COLLECTION, [document('a', 9)]);
      expect(await models.reached(COLLECTION, START, 0)).toBe(false);

      await models.createBuild(build, INDEXES);
      expect(await read()).toEqual({ documents: [null, null], checkpoint: at(0) });
      await models.put(COLLECTION, [document('a', 1), document('b', 1)]);
      expect(await models.find(COLLECTION, { sort: { field: 'name' }, limit: 5 })).toHaveLength(2);
    }
  });

  it('never returns a checkpoint that is newer than a document of the same read', async () => {
    const other = new MongoReadModels(database);
    let over = false;
    const project = async (): Promise<void> => {
      for (let place = 1; place <= 150; place++) {
        await other.put(COLLECTION, [document('a', place), document('b', place)]);
        await other.advance(COLLECTION, 'projector', at(place - 1), at(place));
      }
      over = true;
    };
    const check = async (): Promise<void> => {
      while (!over) {
        const { documents, checkpoint } = await read();
        for (const each of documents) expect((each?.position ?? at(0)) >= (checkpoint ?? '')).toBe(true);
      }
    };
    await Promise.all([project(), check(), check()]);
    expect((await read()).checkpoint).toBe(at(150));
  });

  it('leaves no collection behind when a build is dropped during writes', async () => {
    for (let round = 1; round <= 10; round++) {
      const puts = Array.from({ length: 8 }, (_, index) => models.put(COLLECTION, [document(`id-${index}`, round)]));
      await Promise.all([...puts, models.dropBuild(COLLECTION)]);
      expect(await models.builds()).toEqual([]);
      expect(await stranger.db(name).listCollections({}, { nameOnly: true }).toArray()).toEqual([]);
      await models.createBuild(build, INDEXES);
      expect(await models.count(COLLECTION)).toBe(0);
    }
  });

  it('creates its indexes with the id as the last key', async () => {
    const keys = (await stored().indexes()).map(({ key }) => key as unknown);
    expect(keys).toContainEqual({ 'f.name': 1, _id: 1 });
  });

  it('adds to a number of a stored document, and refuses to increment an indexed field', async () => {
    await models.put(COLLECTION, [{ ...document('a', 1), count: 5 } as ViewDocument]);
    await models.accumulate(COLLECTION, [{ _id: 'a', add: { count: 2 }, set: { name: 'set' } }]);
    const [changed] = (await read()).documents;
    expect(changed).toEqual({ ...document('a', 1), count: 7, name: 'set' });
    expect(await models.find(COLLECTION, { filter: { field: 'name', op: 'eq', value: 'set' }, limit: 2 })).toEqual([
      changed,
    ]);
    await models.accumulate(COLLECTION, [
      { _id: 'a', add: {}, set: { count: 1 } },
      { _id: 'a', add: { count: 1 }, set: {} },
    ]);
    expect((await read()).documents[0]).toMatchObject({ count: 2 });
    await expect(models.accumulate(COLLECTION, [{ _id: 'a', add: { name: 1 }, set: {} }])).rejects.toMatchObject({
      code: 'invalid_request',
    });
    await models.put(COLLECTION, [document('a', 2)]);
    expect((await read()).documents[0]).toEqual(document('a', 2));
  });

  it.each(['local', 'majority', 'linearizable'] as const)('reads with read concern "%s"', async (checkReadConcern) => {
    const reader = new MongoReadModels(database, { checkReadConcern });
    await models.put(COLLECTION, [document('a', 1)]);
    expect((await reader.read(COLLECTION, ['a'])).documents).toEqual([document('a', 1)]);
  });

  it.each(['', 'a"; --', '../x', 'Upper.v1.b', 'x'.repeat(300)])(
    'refuses "%s" as the name of a collection',
    async (collection) => {
      await expect(models.createBuild({ ...build, collection }, [])).rejects.toMatchObject({ code: 'invalid_request' });
      await expect(models.read(collection, ['a'])).rejects.toMatchObject({ code: 'invalid_request' });
    },
  );

  it('reports a document that is too large without its content, and not as unavailable', async () => {
    const large = { ...document('a', 1), text: 'verifier'.repeat(2_200_000) } as ViewDocument;
    const error = await models.put(COLLECTION, [large]).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(EngineUnavailable);
    expect(inspect(error, { depth: 10 })).not.toContain('verifier');
    await models.put(COLLECTION, [document('a', 1)]);
    expect((await read()).documents[0]).toEqual(document('a', 1));
  });

  describe('with an unavailable server', () => {
    let way: Proxy;
    let far: MongoDatabase;
    let views: MongoReadModels;
    let outcomes: MongoOutcomes;

    beforeEach(async () => {
      const { hostname, port } = new URL(uri);
      way = await proxyTo(hostname, Number(port || 27017));
      const farUri = `mongodb://127.0.0.1:${way.port}/?directConnection=true`;
      far = new MongoDatabase({ uri: farUri, database: name, timeoutMs: 1_000 });
      views = new MongoReadModels(far);
      outcomes = new MongoOutcomes(far);
    });
    afterEach(async () => {
      await views.close();
      await far.close();
      await way.down();
    });

    const asked = (): (() => Promise<unknown>)[] => [
      () => views.read(COLLECTION, ['a']),
      () => views.find(COLLECTION, { limit: 1 }),
      () => views.count(COLLECTION),
      () => views.put(COLLECTION, [document('a', 1)]),
      () => views.accumulate(COLLECTION, [{ _id: 'a', add: { count: 1 }, set: {} }]),
      () => views.createBuild(build, []),
      () => views.builds(),
      () => views.dropBuild('other.v1.b1'),
      () => views.claim(COLLECTION, 'x', { owner: '', beat: 0 }),
      () => views.advance(COLLECTION, 'x', START, START),
      () => views.advance(COLLECTION, 'x', START, START, { documents: [document('a', 1)], before: new Map() }),
      () => views.pointer('authentication'),
      () => views.switchPointer({ view: 'authentication', version: 1, collection: COLLECTION, revision: 1 }),
      () => views.reached(COLLECTION, START, 0),
      () => outcomes.find('x'),
      () =>
        outcomes.record({
          commandId: 'x',
          fingerprint: 'f',
          caller: 'c',
          recordedAt: at(1),
          reply: { id: 'x', status: 'accepted', replayed: false, revision: 0, position: '' },
        }),
      () => outcomes.seal({ eventId: 'x', sealedSecret: 'a.b.c.d.e', expiresAt: at(1) }),
      () => outcomes.sealed('x', at(1)),
      () => outcomes.purge(at(1), at(1)),
    ];
    const allRefused = async (): Promise<void> => {
      const answers = await Promise.allSettled(asked().map((ask) => ask()));
      for (const answer of answers) {
        expect(answer.status).toBe('rejected');
        expect((answer as PromiseRejectedResult).reason).toBeInstanceOf(EngineUnavailable);
      }
    };
    const back = async (): Promise<void> => {
      for (const deadline = Date.now() + 25_000; ;)
        try {
          return void (await views.read(COLLECTION, ['a']));
        } catch (error) {
          if (Date.now() > deadline) throw error;
        }
    };

    it('throws EngineUnavailable from every call, also before the first connection, and recovers', async () => {
      await way.down();
      await allRefused();
      await way.up();
      await back();
      await way.down();
      await allRefused();
      await way.up();
      await back();
      expect(await views.builds()).toEqual([build]);
    });

    it('waits no longer than its time limit for a server that does not answer', async () => {
      await back();
      way.stall();
      const started = performance.now();
      await allRefused();
      expect(performance.now() - started).toBeLessThan(10_000);
      way.unstall();
      await back();
    });

    it('maps socket errors that the driver does not wrap to EngineUnavailable, and no other errors', async () => {
      await back();
      const said = Object.assign(new Error('This socket has been ended by the other party'), { code: 'EPIPE' });
      await expect(far.run(() => Promise.reject(said))).rejects.toThrow(EngineUnavailable);
      const wrong = Object.assign(new TypeError('Not a string.'), { code: 'ERR_INVALID_ARG_TYPE' });
      await expect(far.run(() => Promise.reject(wrong))).rejects.toBe(wrong);
    });

    it('recovers even if the driver no longer monitors the server', async () => {
      await back();
      // Simulates a monitor that waits forever on a check written to a socket that had just been destroyed.
      for (const { monitor } of monitoredServers(far)) monitor.close();
      await way.down();
      await allRefused();
      await way.up();
      await back();
    });

    it('rejects calls that wait for a position', async () => {
      await back();
      const waiting = expect(views.reached(COLLECTION, at(9), 20_000)).rejects.toThrow(EngineUnavailable);
      await way.down();
      await waiting;
    });

    it('throws EngineUnavailable after it is closed', async () => {
      const waiting = expect(views.reached(COLLECTION, at(9), 20_000)).rejects.toThrow(EngineUnavailable);
      await back();
      await views.close();
      await outcomes.close();
      await waiting;
      await allRefused();
    });
  });

  // The emulator may not be installed when a server is given by its URL.
  if (NativeEngine.isAvailable('mongodb'))
    it('finds every document that the emulator acknowledged before it was killed', async () => {
      const emulator = ownEngine('mongodb');
      const acknowledged: ViewDocument[] = [];
      const write = async (to: MongoReadModels, writer: number): Promise<void> => {
        for (let place = 1; ; place++) {
          const next = document(`${writer}-${place}`, place);
          await to.put(COLLECTION, [next]);
          acknowledged.push(next);
          if (acknowledged.length === 100) emulator.signal('SIGKILL');
        }
      };
      const open = (): { connection: MongoDatabase; views: MongoReadModels } => {
        const connection = new MongoDatabase({ uri: emulator.url, database: name, timeoutMs: 2_000 });
        return { connection, views: new MongoReadModels(connection) };
      };
      const before = open();
      let after: typeof before | undefined;
      try {
        await before.views.createBuild(build, INDEXES);
        const writers = await Promise.allSettled([1, 2, 3, 4].map((writer) => write(before.views, writer)));
        for (const writer of writers)
          expect((writer as PromiseRejectedResult).reason).toBeInstanceOf(EngineUnavailable);
        emulator.restart();
        after = open();
        const { documents } = await after.views.read(
          COLLECTION,
          acknowledged.map(({ _id }) => _id),
        );
        expect(documents).toEqual(acknowledged);
      } finally {
        await before.connection.close();
        await after?.connection.close();
        emulator.stop();
        rmSync(emulator.folder, { recursive: true, force: true });
      }
    });
});

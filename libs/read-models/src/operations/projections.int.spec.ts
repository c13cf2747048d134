import { VIEW_VERSIONS } from '@rekey/contracts';
import { EngineUnavailable, type StoredEvent } from '@rekey/ports';
import { VIEWS, type Projector, type View } from '../index';
import { describeOn, eventually } from '@rekey/testing';
import { FastClock, Gate, RandomHistory, TestStores, VIEW_NAMES, through } from '../read-models.testing';

const FAST = 40;
const WAIT_MS = 20_000;

/** One process projects; another one operates it through connections of its own. */
const operatesFromAnotherProcess = (open: () => Promise<TestStores>): void => {
  let stores: TestStores;
  let others: TestStores;
  let running: Projector[] = [];

  beforeEach(async () => {
    stores = await open();
    others = await stores.beside();
  });
  afterEach(async () => {
    await Promise.all(running.map((projector) => projector.stop()));
    running = [];
    await others.remove();
    await stores.remove();
  });

  const start = async (...given: Parameters<TestStores['projector']>): Promise<Projector> => {
    const [more] = given;
    const projector = stores.projector({ clock: new FastClock(FAST), ...more });
    running.push(projector);
    await projector.start();
    return projector;
  };

  /** Views that throw for the events that `isBad` selects. */
  const choking = (isBad: (event: Pick<StoredEvent, 'stream' | 'revision'>) => boolean): View[] =>
    VIEWS.map((view) => ({
      ...view,
      evolve: (document, event) => {
        if (isBad(event)) throw new TypeError('choked');
        return view.evolve(document, event);
      },
    }));
  const firstApplication = async (): Promise<string> =>
    (await stores.store.readFeed({ limit: 1_000 })).find(({ stream }) => stream.startsWith('application-'))?.stream ??
    '';

  it('returns the status of every build', async () => {
    const history = new RandomHistory(stores.store, 51);
    await history.more(60);
    expect(await others.projections().list()).toEqual([]);
    await start({ name: 'projector@somewhere' });
    await stores.allReached(history.position);
    const statuses = await others.projections().list();
    expect(statuses.map(({ view }) => view).sort()).toEqual([...VIEW_NAMES].sort());
    for (const status of statuses)
      expect(status).toMatchObject({
        version: VIEW_VERSIONS[status.view],
        active: true,
        ready: true,
        checkpoint: history.position,
        lagSeconds: 0,
        owner: 'projector@somewhere',
        parkedStreams: 0,
      });
  });

  it('returns the lag of a build', async () => {
    const gate = new Gate();
    const history = new RandomHistory(stores.store, 52);
    await history.more(20);
    await start({ readModels: gate.on(stores.readModels, ['advance']) });
    await stores.allReached(history.position);
    const before = Date.now();
    try {
      gate.close();
      await history.more(20);
      const behind = (await others.projections().list()).find(({ view }) => view === 'authentication');
      const [next] = await stores.store.readFeed({ after: behind?.checkpoint ?? '', limit: 1 });
      const occurredMs = Date.parse(next?.metadata.occurredAt ?? '');
      expect(behind?.lagSeconds).toBeGreaterThanOrEqual((before - occurredMs) / 1_000);
      expect(behind?.lagSeconds).toBeLessThanOrEqual((Date.now() - occurredMs) / 1_000);
    } finally {
      gate.open();
    }
  });

  it('reports a build that belongs to another history as not ready', async () => {
    await start();
    await stores.allReached('');
    const store = through(others.store, (name, call) => (name === 'identity' ? Promise.resolve('another') : call()));
    const statuses = await others.projections({ store }).list();
    expect(statuses.every(({ active, ready }) => active && !ready)).toBe(true);
  });

  it('returns the lag of the publisher if there is one', async () => {
    const history = new RandomHistory(stores.store, 60);
    await history.more(20);
    expect(await others.projections().publisherLagSeconds()).toBeUndefined();
    let listens = true;
    const publish = async (): Promise<void> => {
      if (!listens) throw new Error('the broker is unavailable');
    };
    await start({ publisher: { publish, close: async () => undefined } });
    await eventually(async () => (await others.projections().publisherLagSeconds()) === 0);
    listens = false;
    await history.more(20);
    expect(await others.projections().publisherLagSeconds()).toBeGreaterThan(0);
  });

  describe('a projector', () => {
    const ready = (projector: Projector): boolean[] => [...projector.health().values()].map((probe) => probe().ready);

    it('is healthy as the owner and as a standby', async () => {
      const keeper = await start({ name: 'keeper' });
      expect(ready(keeper)).not.toContain(true);
      await stores.allReached('');
      const standby = await start({ name: 'standby' });
      for (const projector of [keeper, standby]) await eventually(() => !ready(projector).includes(false));
      expect(ready(standby)).toHaveLength(VIEW_NAMES.length);
      expect((await others.projections().list()).every(({ owner }) => owner === 'keeper')).toBe(true);
    });

    it('is unhealthy while a store is unavailable or projecting fails, and recovers', async () => {
      let away: (name: string) => boolean = () => false;
      const readModels = through(stores.readModels, (name, call) =>
        away(name) ? Promise.reject(new EngineUnavailable('test')) : call(),
      );
      const projector = await start({ readModels });
      await eventually(() => !ready(projector).includes(false));
      const causes = (): unknown[] => [...projector.health().values()].map((probe) => probe().cause);
      away = () => true;
      await eventually(() => causes().every((cause) => cause === 'the stores are unavailable'));
      away = () => false;
      await eventually(() => !ready(projector).includes(false));
      away = (name) => name === 'advance';
      await new RandomHistory(stores.store, 61).more(60);
      await eventually(() => causes().some((cause) => cause === 'projecting fails and is being retried'));
      away = () => false;
      await eventually(() => !ready(projector).includes(false));
    });
  });

  describe('rebuild', () => {
    it('creates a build that becomes active', async () => {
      const history = new RandomHistory(stores.store, 53);
      await history.more(60);
      await start();
      await stores.allReached(history.position);
      const before = await stores.active('secrets');
      const build = await others.projections().rebuild('secrets', 'token:ops');
      await eventually(async () =>
        (await others.projections().list()).some(({ collection, active }) => collection === build && active),
      );
      expect(await stores.active('secrets')).toEqual(before);
    });

    it('returns the build in progress', async () => {
      const projections = others.projections();
      const build = await projections.rebuild('secrets', 'token:ops');
      expect(await stores.projections().rebuild('secrets', 'token:ops')).toBe(build);
      await start();
      await eventually(async () => (await stores.readModels.pointer('secrets'))?.collection === build);
    });

    it('is refused if newer code keeps the view', async () => {
      const pointer = { view: 'secrets', version: 99, collection: 'secrets.v99.000001x', revision: 1 };
      await stores.readModels.switchPointer(pointer);
      await expect(others.projections().rebuild('secrets', 'token:ops')).rejects.toMatchObject({ code: 'unavailable' });
      expect(await stores.readModels.builds('secrets')).toEqual([]);
    });
  });

  describe('replay', () => {
    /** Starts a projector that parks the stream of one application. */
    const parked = async (seed: number) => {
      let bad = '';
      const views = choking(({ stream, revision }) => stream === bad && revision >= 2);
      const history = new RandomHistory(stores.store, seed, { domains: 1, applications: 2 });
      await history.more(60);
      const stream = (bad = await firstApplication());
      await start({ views });
      await stores.allReached(history.position);
      return { stream, history, heal: () => void (bad = '') };
    };
    const failedIn = async (view: (typeof VIEW_NAMES)[number]) =>
      (await others.projections().failed({ view, limit: 10 })).items;

    it('returns what it folded and what still waits, until no event waits', async () => {
      const { stream, heal } = await parked(54);
      const [failed] = await failedIn('authentication');
      expect(failed).toMatchObject({ view: 'authentication', stream, revision: 2, cause: 'failed with TypeError' });
      expect(failed).not.toHaveProperty('replay');
      const replay = async () =>
        (await others.projections().replay('authentication', stream, 'token:ops', WAIT_MS)).builds[0]?.result;

      expect(await replay()).toMatchObject({ events: 0, waiting: failed?.waiting, cause: 'failed with TypeError' });
      expect(await failedIn('authentication')).toMatchObject([
        { replay: { askedBy: 'token:ops', answered: true, result: { events: 0, cause: 'failed with TypeError' } } },
      ]);
      heal();
      const whole = await replay();
      expect(whole).toMatchObject({ events: failed?.waiting, waiting: 0 });
      expect(whole).not.toHaveProperty('cause');
      expect(await failedIn('authentication')).toEqual([]);
      expect((await stores.active('authentication')).get(stream)).not.toHaveProperty('broken');
      // Another replay does nothing and returns the same result.
      expect(await replay()).toEqual(whole);
      expect(await failedIn('applications')).toMatchObject([{ stream }]);
    });

    it('is kept for the next projector if none runs', async () => {
      const { stream, heal } = await parked(55);
      await Promise.all(running.splice(0).map((projector) => projector.stop()));
      const asked = await others.projections().replay('authentication', stream, 'token:ops', 0);
      expect(asked.builds).toMatchObject([{ result: undefined }]);
      expect(await failedIn('authentication')).toMatchObject([{ replay: { answered: false, askedBy: 'token:ops' } }]);
      heal();
      await start();
      await eventually(async () => (await failedIn('authentication')).length === 0);
      expect((await stores.active('authentication')).get(stream)).not.toHaveProperty('broken');
    });

    it('is retried after a store was unavailable, and answers every request', async () => {
      const { stream, heal } = await parked(56);
      await Promise.all(running.splice(0).map((projector) => projector.stop()));
      heal();
      let away = true;
      const readModels = through(stores.readModels, (name, call) =>
        away && name === 'accumulate' ? Promise.reject(new EngineUnavailable('test')) : call(),
      );
      await start({ readModels });
      // The result could not be stored: the requests return at the end of their wait.
      const both = [others, stores].map((each) =>
        each.projections().replay('authentication', stream, 'token:ops', 5_000),
      );
      await eventually(async () => (await failedIn('authentication')).length === 0);
      away = false;
      for (const { builds } of await Promise.all(both)) expect(builds).toMatchObject([{ result: { waiting: 0 } }]);
    });

    it('applies to every build that has parked the stream', async () => {
      const { stream, heal } = await parked(57);
      const before = (await stores.readModels.pointer('secrets'))?.collection ?? '';
      const build = await others.projections().rebuild('secrets', 'token:ops');
      await eventually(async () => (await stores.readModels.pointer('secrets'))?.collection === build);
      expect((await failedIn('secrets')).map(({ collection }) => collection)).toContain(build);
      heal();
      const { builds } = await others.projections().replay('secrets', stream, 'token:ops', WAIT_MS);
      const left = (await stores.readModels.builds('secrets')).map(({ collection }) => collection);
      expect(builds.map(({ collection }) => collection)).toEqual(expect.arrayContaining(left));
      expect(builds.find(({ collection }) => collection === build)?.result).toMatchObject({ waiting: 0 });
      expect([before, build]).toEqual(expect.arrayContaining(builds.map(({ collection }) => collection)));
    });

    it('is rejected for a stream that was never parked', async () => {
      const { stream } = await parked(58);
      for (const [view, name] of [
        ['domains', stream],
        ['authentication', 'application-none'],
      ] as const)
        await expect(others.projections().replay(view, name, 'token:ops', 0)).rejects.toMatchObject({
          code: 'not_found',
        });
    });

    it('lists failed events in pages', async () => {
      const history = new RandomHistory(stores.store, 59, { domains: 1, applications: 4 });
      await history.more(60);
      await start({ views: choking(({ stream }) => stream.startsWith('application-')) });
      await stores.allReached(history.position);
      const all = (await others.projections().failed({ limit: 100 })).items;
      expect(all.length).toBeGreaterThan(8);
      const seen: unknown[] = [];
      for (let after: string | undefined; ;) {
        const page = await others.projections().failed({ after, limit: 3 });
        seen.push(...page.items);
        if ((after = page.next) === undefined) break;
      }
      expect(seen).toEqual(all);
      const parkedByView = (await others.projections().list()).map(({ view, parkedStreams }) => [view, parkedStreams]);
      for (const [view, count] of parkedByView)
        expect(all.filter((each) => each.view === view)).toHaveLength(count as number);
    });
  });
};

describe('Projections, in another process', () => {
  describe('on SQLite', () => operatesFromAnotherProcess(() => TestStores.open()));
  describeOn(['mongodb'], ({ mongodb }) => operatesFromAnotherProcess(() => TestStores.open(mongodb)));
});

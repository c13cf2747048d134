import { EngineUnavailable, type Build, type Changes, type EventPublisher, type StoredEvent } from '@rekey/ports';
import { eventually } from '@rekey/testing';
import { VIEWS, secretsView, type Projector, type View } from '../index';
import {
  FastClock,
  Gate,
  RandomHistory,
  TestStores,
  VIEW_NAMES,
  copyOf,
  flaky,
  randomOf,
  through,
} from '../read-models.testing';

const FAST = 40;

describe('Projector', () => {
  let stores: TestStores;
  let running: Projector[] = [];

  beforeEach(async () => {
    stores = await TestStores.open();
  });
  afterEach(async () => {
    await Promise.all(running.map((projector) => projector.stop()));
    running = [];
    await stores.remove();
  });

  const start = async (...given: Parameters<TestStores['projector']>): Promise<Projector> => {
    const [more] = given;
    const projector = stores.projector({ clock: new FastClock(FAST), ...more });
    running.push(projector);
    await projector.start();
    return projector;
  };

  const activeOf = async (view: (typeof VIEW_NAMES)[number]): Promise<string> =>
    (await stores.readModels.pointer(view))?.collection ?? '';

  /** Compares every view with a rebuilt one. */
  const expectEqualToRebuilt = async (history: RandomHistory, projections = stores.projections()): Promise<void> => {
    await stores.allReached(history.position);
    const kept = new Map(await Promise.all(VIEW_NAMES.map(async (view) => [view, await stores.active(view)] as const)));
    await Promise.all(
      VIEW_NAMES.map(async (view) => {
        const collection = await projections.rebuild(view, 'tests');
        await eventually(() => stores.readModels.reached(collection, history.position, 1_000));
        expect(await stores.documents(collection)).toEqual(kept.get(view));
      }),
    );
  };

  it('keeps views that equal rebuilt ones, which then become active', async () => {
    const history = new RandomHistory(stores.store, 1);
    await history.more(40);
    await start({ pageSize: 7 });
    await history.more(400);
    await stores.allReached(history.position);
    for (const view of VIEW_NAMES) {
      const before = await stores.active(view);
      expect(before.size).toBeGreaterThan(0);
      const collection = await stores.rebuild(view);
      await eventually(async () => (await activeOf(view)) === collection);
      await stores.reached(view, history.position);
      expect(await stores.active(view)).toEqual(before);
    }
    const statuses = await stores.projections().list();
    for (const view of VIEW_NAMES)
      expect(statuses).toContainEqual(
        expect.objectContaining({
          view,
          active: true,
          ready: true,
          owner: 'tests',
          checkpoint: history.position,
          parkedStreams: 0,
        }),
      );
  });

  it('makes all views active on an empty store', async () => {
    await start();
    await stores.allReached('');
    const history = new RandomHistory(stores.store, 2);
    await history.more(20);
    await stores.allReached(history.position);
  });

  it('continues where it stopped, at once under its own name', async () => {
    const history = new RandomHistory(stores.store, 3);
    await (await start()).stop();
    running = [];
    await history.more(60);
    const first = await start();
    await stores.allReached(history.position);
    const collection = await activeOf('secrets');
    await first.stop();
    await history.more(60);
    await start();
    await stores.allReached(history.position);
    expect(await activeOf('secrets')).toBe(collection);
    await expectEqualToRebuilt(history);
  });

  it('drops the previous build some time after a switch', async () => {
    await start({ clock: new FastClock(FAST) });
    await stores.allReached('');
    const old = await activeOf('secrets');
    const collection = await stores.rebuild('secrets');
    await eventually(async () => (await activeOf('secrets')) === collection);
    expect(await stores.readModels.pointer('secrets')).toMatchObject({ previous: old });
    const history = new RandomHistory(stores.store, 4);
    await history.more(20);
    expect(await stores.readModels.reached(old, history.position, 5_000)).toBe(true);
    await eventually(async () => !(await stores.readModels.builds()).some((build) => build.collection === old));
    await eventually(async () => (await stores.readModels.pointer('secrets'))?.previous === undefined);
    expect(await activeOf('secrets')).toBe(collection);
  });

  it('builds a new version beside the old one, which stays active until it has caught up', async () => {
    const history = new RandomHistory(stores.store, 5);
    await history.more(100);
    const old = await start({ name: 'old', views: [secretsView] });
    await stores.reached('secrets', history.position);
    const gate = new Gate();
    gate.close();
    const next = { ...secretsView, version: secretsView.version + 1 } as View;
    const readModels = gate.on(stores.readModels, ['advance']);
    const newer = await start({ name: 'new', views: [next], readModels });
    await eventually(() => gate.held > 0);
    await history.more(50);
    await stores.reached('secrets', history.position);
    expect(await stores.readModels.pointer('secrets')).toMatchObject({ version: secretsView.version });
    gate.open();
    await eventually(async () => (await stores.readModels.pointer('secrets'))?.version === next.version);
    await stores.reached('secrets', history.position);
    const pointer = await stores.readModels.pointer('secrets');
    expect(await stores.documents(pointer?.previous ?? '')).toEqual(await stores.active('secrets'));
    await history.more(30);
    expect(await stores.readModels.reached(pointer?.previous ?? '', history.position, 5_000)).toBe(true);
    await Promise.all([old.stop(), newer.stop()]);
  });

  describe('with other projectors', () => {
    it('leaves each build to one owner, and takes over when its heartbeats stop', async () => {
      const clock = new FastClock(FAST);
      const history = new RandomHistory(stores.store, 6);
      let dead = false;
      const mortal = through(stores.readModels, (_, call) =>
        dead ? Promise.reject(new EngineUnavailable('a dead process')) : call(),
      );
      await start({ clock, name: 'first', readModels: mortal });
      await history.more(50);
      await stores.allReached(history.position);
      await start({ clock, name: 'second' });
      await history.more(50);
      await stores.allReached(history.position);
      expect((await stores.projections().list()).some(({ owner }) => owner === 'second')).toBe(false);
      dead = true;
      await history.more(50);
      await stores.allReached(history.position);
      expect((await stores.projections().list()).every(({ owner }) => owner === 'second')).toBe(true);
      await expectEqualToRebuilt(history);
      dead = false;
    });

    it('changes nothing when it resumes after another one has taken over', async () => {
      for (const method of ['advance', 'read']) {
        const clock = new FastClock(FAST);
        const history = new RandomHistory(stores.store, 7 + method.length);
        const gate = new Gate();
        const sleeper = await start({
          clock,
          name: `sleeper-${method}`,
          pageSize: 5,
          readModels: gate.on(stores.readModels, [method]),
        });
        await history.more(30);
        await stores.allReached(history.position);
        gate.close();
        await history.more(30);
        await eventually(() => gate.held >= VIEW_NAMES.length - 2);
        const other = await start({ clock, name: `other-${method}` });
        await history.more(60);
        await stores.allReached(history.position);
        gate.open();
        await history.more(30);
        await expectEqualToRebuilt(history);
        await Promise.all([sleeper.stop(), other.stop()]);
        await stores.remove();
        stores = await TestStores.open();
      }
    });

    it('loses no event while leases change owners all the time', async () => {
      const clock = new FastClock(FAST);
      const history = new RandomHistory(stores.store, 8);
      const random = randomOf(8);
      const thieves = ['one', 'two'].map((name) =>
        start({ clock, name, pageSize: 3, readModels: flaky(stores.readModels, random, 0.02) }),
      );
      const projectors = await Promise.all(thieves);
      let fighting = true;
      const fight = (async () => {
        for (let round = 0; fighting; round++) {
          for (const build of await stores.readModels.builds())
            if (VIEW_NAMES.some((view) => view === build.view))
              await stores.readModels.claim(build.collection, round % 2 ? '' : 'thief/1', build);
          await new Promise((resolve) => setTimeout(resolve, 15));
        }
      })();
      await history.more(400);
      fighting = false;
      await fight;
      await stores.allReached(history.position);
      await Promise.all(projectors.map((projector) => projector.stop()));
      await start({ clock, name: 'judge' });
      await expectEqualToRebuilt(history);
    });
  });

  describe('with engines that are unavailable from time to time', () => {
    it.each([11, 12, 13])('retries, and parks nothing (history %i)', async (seed) => {
      const random = randomOf(seed);
      const history = new RandomHistory(stores.store, seed);
      const clock = new FastClock(10);
      const projector = await start({
        clock,
        pageSize: 20,
        store: flaky(stores.store, random, 0.1),
        readModels: flaky(stores.readModels, random, 0.1),
      });
      await history.more(200);
      await stores.allReached(history.position);
      await projector.stop();
      await start({ clock, name: 'judge' });
      await expectEqualToRebuilt(history);
      expect(await stores.failed()).toEqual([]);
    });
  });

  describe('with lost builds', () => {
    const view = 'secrets';

    it('replaces a build that was dropped', async () => {
      const history = new RandomHistory(stores.store, 21);
      await start();
      await history.more(100);
      await stores.allReached(history.position);
      const old = await activeOf(view);
      await stores.readModels.dropBuild(old);
      await eventually(async () => (await activeOf(view)) !== old);
      await expectEqualToRebuilt(history);
    });

    it('creates the collections that are not derived from events again', async () => {
      const others = async (): Promise<string[]> => {
        const builds = await stores.readModels.builds();
        return builds.flatMap((build) => (VIEW_NAMES.some((name) => name === build.view) ? [] : [build.collection]));
      };
      await start({ clock: new FastClock(FAST) });
      await eventually(async () => (await others()).length === 3);
      const there = await others();
      for (const collection of there) await stores.readModels.dropBuild(collection);
      await eventually(async () => (await others()).length === 3);
      expect(await others()).toEqual(there);
    });

    it('replaces a build that was restored from an older backup, and does not continue it', async () => {
      const history = new RandomHistory(stores.store, 22);
      await start();
      await history.more(100);
      await stores.allReached(history.position);
      const old = await activeOf(view);
      const copy = await copyOf(stores, old, secretsView.indexes);
      await history.more(100);
      await stores.allReached(history.position);
      await copy.putBack();
      await history.more(20);
      await eventually(async () => (await activeOf(view)) !== old);
      await eventually(
        async () => !(await stores.readModels.builds(view)).some(({ collection }) => collection === old),
      );
      await expectEqualToRebuilt(history);
    });

    it('does not continue a build that was dropped and then restored in steps', async () => {
      const history = new RandomHistory(stores.store, 26);
      await start();
      await history.more(100);
      await stores.allReached(history.position);
      const old = await activeOf(view);
      const [build] = (await stores.readModels.builds(view)).filter(({ collection }) => collection === old);
      await stores.readModels.dropBuild(old);
      await eventually(async () => (await activeOf(view)) !== old);
      await stores.readModels.createBuild({ ...build, beat: 0 } as Build, secretsView.indexes);
      await eventually(async () =>
        (await stores.readModels.builds(view)).every(({ collection }) => collection !== old),
      );
      await expectEqualToRebuilt(history);
    });

    it('continues a restored build if it has not seen a newer state of it', async () => {
      const history = new RandomHistory(stores.store, 23);
      const first = await start();
      await history.more(100);
      await stores.allReached(history.position);
      const old = await activeOf(view);
      const copy = await copyOf(stores, old, secretsView.indexes);
      await history.more(100);
      await stores.allReached(history.position);
      await first.stop();
      await copy.putBack();
      await start();
      await stores.reached(view, history.position);
      expect(await activeOf(view)).toBe(old);
      await expectEqualToRebuilt(history);
    });

    it('rebuilds all views if the event store has another history', async () => {
      const history = new RandomHistory(stores.store, 24);
      let identity = 'first';
      const store = through(stores.store, (name, call) => (name === 'identity' ? Promise.resolve(identity) : call()));
      const clock = new FastClock(FAST);
      await start({ store, clock });
      await history.more(100);
      await stores.allReached(history.position);
      identity = 'second';
      await eventually(async () => {
        const builds = await stores.readModels.builds();
        const ours = builds.filter((build) => VIEW_NAMES.some((name) => name === build.view));
        return ours.length === VIEW_NAMES.length && ours.every((build) => build.storeIdentity === 'second');
      });
      await expectEqualToRebuilt(history, stores.projections({ store }));
    });

    it('rebuilds a view if its checkpoint is ahead of the store', async () => {
      const history = new RandomHistory(stores.store, 25);
      await history.more(50);
      const collection = 'secrets.v1.000007x';
      const storeIdentity = await stores.store.identity();
      const checkpoint = '9'.repeat(history.position.length);
      const ahead = {
        collection,
        view,
        version: secretsView.version,
        storeIdentity,
        target: '',
        checkpoint,
        owner: '',
        beat: 0,
      };
      await stores.readModels.createBuild(ahead, secretsView.indexes);
      await stores.readModels.switchPointer({ view, version: secretsView.version, collection, revision: 1 });
      await start();
      await eventually(async () => (await activeOf(view)) > collection);
      await expectEqualToRebuilt(history);
    });
  });

  describe('with events that cannot be folded', () => {
    /** Views that throw for the events that `isBad` selects. */
    const choking = (isBad: (event: { readonly stream: string; readonly revision: number }) => boolean): View[] =>
      VIEWS.map((view) => ({
        ...view,
        evolve: (document, event) => {
          if (isBad(event)) throw new TypeError(`choked on ${JSON.stringify(event.data)}`);
          return view.evolve(document, event);
        },
      }));

    it('parks their streams, continues with others, and folds all events in a later replay', async () => {
      let bad = '';
      const parked: string[] = [];
      const clock = new FastClock(FAST);
      const views = choking(({ stream, revision }) => stream === bad && revision >= 2);
      const projector = await start({ views, clock, onParked: (view, stream) => parked.push(`${view} ${stream}`) });
      const history = new RandomHistory(stores.store, 31);
      await history.more(30);
      const [events] = [await stores.store.readFeed({ limit: 1_000 })];
      bad = events.find(({ stream, revision }) => stream.startsWith('application-') && revision === 0)?.stream ?? '';
      await history.more(200);
      await stores.allReached(history.position);

      const waiting = (await stores.store.readStream(bad)).slice(2);
      const failed = await stores.failed();
      const authentication = failed.find(({ view }) => view === 'authentication');
      expect(authentication).toMatchObject({ stream: bad, cause: 'failed with TypeError' });
      expect(authentication?.waiting).toBeGreaterThan(0);
      expect(waiting.length).toBeGreaterThanOrEqual(authentication?.waiting ?? 0);
      expect(JSON.stringify(failed)).not.toContain('phc');
      expect(parked).toContain(`authentication ${bad}`);
      expect((await stores.active('authentication')).get(bad)).toMatchObject({ broken: true });
      expect((await stores.active('applications')).get(bad.slice('application-'.length))).toMatchObject({
        broken: true,
      });
      const marked = [...(await stores.active('authentication')).values()].filter((document) => 'broken' in document);
      expect(marked).toHaveLength(1);

      const still = await stores.replay('authentication', bad);
      expect(still).toMatchObject({ events: 0, waiting: authentication?.waiting, cause: 'failed with TypeError' });

      // Streams stay parked after a restart, and their later events wait.
      await projector.stop();
      bad = '';
      await start({ views, clock });
      await history.more(100);
      await stores.allReached(history.position);
      const stream = failed[0]?.stream ?? '';
      expect((await stores.active('authentication')).get(stream)).toMatchObject({ broken: true });
      for (const { view } of failed) expect(await stores.replay(view as never, stream)).toMatchObject({ waiting: 0 });
      expect(await stores.failed()).toEqual([]);
      await history.more(30);
      await expectEqualToRebuilt(history);
    });

    it('replays up to the next bad event, and keeps the document marked', async () => {
      let badFrom = 1;
      const readModels = through(stores.readModels, (_, call) => call());
      const views = choking(({ stream, revision }) => stream.startsWith('application-') && revision >= badFrom);
      const clock = new FastClock(FAST);
      await start({
        views: views.filter(({ name }) => name === 'authentication'),
        readModels,
        clock,
      });
      const history = new RandomHistory(stores.store, 32, { domains: 1, applications: 1 });
      await history.more(60);
      await stores.reached('authentication', history.position);
      const [failed] = await stores.failed();
      const stream = failed?.stream ?? '';
      const length = (await stores.store.readStream(stream)).length;
      expect(failed).toMatchObject({ revision: 1, waiting: length - 1 });
      badFrom = 5;
      expect(await stores.replay('authentication', stream)).toEqual({
        at: expect.any(String),
        events: 4,
        waiting: length - 5,
        cause: 'failed with TypeError',
      });
      expect((await stores.active('authentication')).get(stream)).toMatchObject({ broken: true });
      expect(await stores.failed()).toMatchObject([{ revision: 5, waiting: length - 5 }]);
      badFrom = 1_000;
      const whole = { at: expect.any(String), events: length - 5, waiting: 0 };
      expect(await stores.replay('authentication', stream)).toEqual(whole);
      expect((await stores.active('authentication')).get(stream)).not.toHaveProperty('broken');
      expect(await stores.replay('authentication', stream)).toEqual(whole);
    });

    it('marks the document of a stream whose first event cannot be decoded', async () => {
      await start();
      const metadata = {
        commandId: 'c',
        correlationId: 'c',
        causationId: 'c',
        actor: { type: 'token', id: 'a' },
        occurredAt: '2026-01-01T00:00:00.000Z',
        schemaVersion: 1,
        previousHash: '',
        hash: 'h',
      } as const;
      const append = (stream: string, type: string) =>
        stores.store.append(stream, -1, [{ eventId: crypto.randomUUID(), type, data: { verifier: 'phc' }, metadata }]);
      await append('application-unknown', 'FromTheFuture');
      const { position } = await append('domain-unknown', 'FromTheFuture');
      await stores.allReached(position);
      for (const stream of ['application-unknown', 'domain-unknown'])
        expect((await stores.active('authentication')).get(stream)).toEqual(
          expect.objectContaining({ state: 'deleted', broken: true }),
        );
      const failed = await stores.failed();
      expect(failed.map(({ view, stream }) => `${view} ${stream}`).sort()).toEqual([
        'applications application-unknown',
        'authentication application-unknown',
        'authentication domain-unknown',
        'domains domain-unknown',
        'expiry-schedule application-unknown',
        'notifications application-unknown',
        'secrets application-unknown',
      ]);
      expect(failed[0]?.cause).toContain('unknown type');
    });

    it('parks the stream of a document that cannot be stored', async () => {
      const history = new RandomHistory(stores.store, 33);
      await history.more(100);
      const [event] = (await stores.store.readFeed({ limit: 100 })).filter(({ stream }) =>
        stream.startsWith('application-'),
      );
      const stream = event?.stream ?? '';
      let refuse = true;
      const readModels = new Proxy(stores.readModels, {
        get: (target, name) => {
          const held: unknown = Reflect.get(target, name);
          if (typeof held !== 'function') return held;
          return async (...given: unknown[]): Promise<unknown> => {
            const documents =
              name === 'put' ? given[1] : name === 'advance' ? (given[4] as Changes | undefined)?.documents : [];
            const isRefused = ({ _id, broken }: { _id: string; broken?: true }) => refuse && _id === stream && !broken;
            if (((documents ?? []) as { _id: string }[]).some(isRefused)) throw new RangeError('too large');
            return (held as (...all: unknown[]) => unknown).apply(target, given);
          };
        },
      });
      await start({ readModels, clock: new FastClock(FAST) });
      await stores.allReached(history.position);
      expect(await stores.failed()).toMatchObject([
        { view: 'authentication', stream, cause: 'its document cannot be stored' },
      ]);
      expect((await stores.active('authentication')).get(stream)).toMatchObject({ broken: true });
      refuse = false;
      expect(await stores.replay('authentication', stream)).toMatchObject({ waiting: 0 });
      await expectEqualToRebuilt(history);
    });
  });

  it('publishes every event at least once, in order, without verifiers', async () => {
    const told: StoredEvent[] = [];
    const random = randomOf(41);
    const publisher: EventPublisher = {
      publish: async (events) => {
        if (random() < 0.2) throw new Error('the broker is unavailable');
        told.push(...events);
      },
      close: async () => undefined,
    };
    const clock = new FastClock(FAST);
    const history = new RandomHistory(stores.store, 41);
    const first = await start({ publisher, clock, pageSize: 10 });
    await history.more(100);
    await eventually(() => told.some(({ position }) => position === history.position));
    await first.stop();
    await history.more(50);
    await start({ publisher, clock, pageSize: 10 });
    await eventually(() => told.some(({ position }) => position === history.position));
    const all = await stores.store.readFeed({ limit: 1_000 });
    expect([...new Set(told.map(({ eventId }) => eventId))]).toEqual(all.map(({ eventId }) => eventId));
    expect(JSON.stringify(told)).not.toContain('phc');
    expect(told.some(({ data }) => typeof data['verifierDigest'] === 'string')).toBe(true);
  });
});

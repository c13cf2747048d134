import { RekeyError } from '@rekey/contracts';
import { EngineUnavailable, ManualClock, type Build, type Pointer, type ViewDocument } from '@rekey/ports';
import { ActiveView, type ActiveViewOptions } from './active-view';
import { chooseBuild } from './choose-build';

const at = (place: number): string => String(place).padStart(6, '0');
const ONE = 'authentication.v1.one';
const TWO = 'authentication.v1.two';

const buildOf = (collection: string, checkpoint: number, more: Partial<Build> = {}): Build => ({
  collection,
  view: 'authentication',
  version: 1,
  storeIdentity: 'here',
  target: at(0),
  checkpoint: at(checkpoint),
  owner: 'one/1',
  beat: 0,
  ...more,
});

const pointerTo = (collection: string, more: Partial<Pointer> = {}): Pointer => ({
  view: 'authentication',
  version: 1,
  collection,
  revision: 1,
  ...more,
});

/** Stores whose contents a test sets. */
class Stores {
  identity = 'here';
  head = at(5);
  pointer: Pointer | null = pointerTo(ONE);
  builds: Build[] = [buildOf(ONE, 5)];
  away = false;
  reads = 0;
  readonly document = { _id: 'a', position: at(1) };
  /** Called between the request and the answer of a read. */
  meanwhile: () => void = () => undefined;

  private answer<T>(value: () => T): Promise<T> {
    return this.away ? Promise.reject(new EngineUnavailable('stores')) : Promise.resolve(value());
  }

  readonly store = {
    identity: () => this.answer(() => this.identity),
    head: () => this.answer(() => this.head),
  };

  private checkpointOf(collection: string): string | null {
    return this.builds.find((build) => build.collection === collection)?.checkpoint ?? null;
  }

  readonly readModels = {
    read: async (collection: string, ids: readonly string[]) => {
      this.reads += 1;
      this.meanwhile();
      const checkpoint = await this.answer(() => this.checkpointOf(collection));
      return { documents: ids.map(() => (checkpoint === null ? null : this.document)), checkpoint };
    },
    find: async (collection: string) => {
      if (this.checkpointOf(collection) === null) throw new EngineUnavailable('view collection');
      return this.answer(() => [this.document]);
    },
    count: () => this.answer(() => 1),
    pointer: () => this.answer(() => this.pointer),
    builds: () => this.answer(() => this.builds),
    reached: (collection: string, position: string) =>
      this.answer(() => (this.checkpointOf(collection) ?? '') >= position),
  } as unknown as ActiveViewOptions['readModels'];
}

const opened: ActiveView[] = [];

const openView = async (stores: Stores, more: Partial<ActiveViewOptions> = {}) => {
  const clock = new ManualClock(0);
  const { store, readModels } = stores;
  const view = new ActiveView({ store, readModels, clock, view: 'authentication', ...more });
  opened.push(view);
  await view.start();
  return { view, clock };
};

const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
};

const refused = async (view: ActiveView): Promise<void> => {
  for (const call of [() => view.read(['a']), () => view.find({ limit: 1 }), () => view.count()])
    await expect(call()).rejects.toMatchObject({ code: 'unavailable' });
};

afterEach(() => opened.splice(0).forEach((view) => view.stop()));

describe('ActiveView', () => {
  it('reads from the build that the pointer names', async () => {
    const stores = new Stores();
    const { view } = await openView(stores);
    expect(await view.read<ViewDocument>(['a', 'b'])).toEqual([stores.document, stores.document]);
    expect(await view.find({ limit: 1 })).toEqual([stores.document]);
    expect(await view.count()).toBe(1);
    expect(view.status()).toEqual({ ready: true, checkpoint: at(5), collection: ONE });
  });

  it.each([
    ['nothing is built', (stores: Stores) => (stores.pointer = null)],
    ['the build is gone', (stores: Stores) => (stores.builds = [])],
    ['this process cannot read the version', (stores: Stores) => (stores.builds = [buildOf(ONE, 5, { version: 2 })])],
    [
      'the build was made from another store',
      (stores: Stores) => (stores.builds = [buildOf(ONE, 5, { storeIdentity: 'there' })]),
    ],
    ['the build is ahead of the store', (stores: Stores) => (stores.head = at(4))],
    ['the build is behind the head at the start', (stores: Stores) => (stores.builds = [buildOf(ONE, 4)])],
    ['the stores are unavailable', (stores: Stores) => (stores.away = true)],
  ])('refuses reads when %s', async (_, change) => {
    const stores = new Stores();
    change(stores);
    const { view } = await openView(stores);
    await refused(view);
    expect(view.status()).toMatchObject({ ready: false, cause: expect.any(String) });
  });

  it('names the view in the error', async () => {
    const stores = new Stores();
    stores.pointer = null;
    const { view } = await openView(stores);
    const error = await view.read(['a']).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RekeyError);
    expect(error).toMatchObject({
      details: { view: 'authentication' },
      message: expect.stringContaining('not built yet'),
    });
  });

  it('reads once the build has reached the head of the store at the start', async () => {
    const stores = new Stores();
    stores.builds = [buildOf(ONE, 4)];
    const { view } = await openView(stores);
    await refused(view);
    stores.builds = [buildOf(ONE, 5)];
    expect(await view.read(['a'])).toHaveLength(1);
  });

  it('does not wait for events appended after the start', async () => {
    const stores = new Stores();
    const { view, clock } = await openView(stores);
    stores.head = at(9);
    clock.advance(1_000);
    await settled();
    expect(await view.read(['a'])).toHaveLength(1);
  });

  describe('during a read', () => {
    it('refuses a build that is dropped', async () => {
      const stores = new Stores();
      const { view } = await openView(stores);
      stores.meanwhile = () => (stores.builds = []);
      await refused(view);
      expect(view.status()).toMatchObject({ ready: false });
    });

    it('refuses a build that is restored to before what a read, a look-up or a wait has seen', async () => {
      const sightings: ((view: ActiveView, stores: Stores, clock: ManualClock) => Promise<unknown>)[] = [
        (view) => view.read(['a']),
        (view) => view.find({ limit: 1 }),
        (view) => view.waitFor(at(7), 0),
        async (_view, _stores, clock) => {
          clock.advance(1_000);
          await settled();
        },
      ];
      for (const see of sightings) {
        const stores = new Stores();
        const { view, clock } = await openView(stores);
        stores.head = at(7);
        stores.builds = [buildOf(ONE, 7)];
        await see(view, stores, clock);
        stores.builds = [buildOf(ONE, 6)];
        await refused(view);
        stores.builds = [buildOf(ONE, 7)];
        expect(await view.read(['a'])).toHaveLength(1);
      }
    });

    it('returns the result of a read that a later read has overtaken', async () => {
      const stores = new Stores();
      const { view } = await openView(stores);
      let release: () => void = () => undefined;
      const slow = new Promise<void>((resolve) => (release = resolve));
      const { read } = stores.readModels;
      let first = true;
      stores.readModels.read = (async (collection: string, ids: readonly string[]) => {
        const answer = await read(collection, ids);
        if (first) {
          first = false;
          await slow;
        }
        return answer;
      }) as never;
      const overtaken = view.read(['a']);
      await settled();
      stores.head = at(8);
      stores.builds = [buildOf(ONE, 8)];
      await view.read(['a']);
      release();
      expect(await overtaken).toHaveLength(1);
    });
  });

  it('reads for 10 s after the last look-up, and no longer', async () => {
    const stores = new Stores();
    const { view, clock } = await openView(stores);
    const { pointer } = stores.readModels;
    stores.readModels.pointer = () => Promise.reject(new EngineUnavailable('stores'));
    for (let second = 0; second < 10; second++) {
      clock.advance(1_000);
      await settled();
      expect(await view.read(['a'])).toHaveLength(1);
    }
    clock.advance(1);
    await refused(view);
    stores.readModels.pointer = pointer;
    clock.advance(1_000);
    await settled();
    expect(await view.read(['a'])).toHaveLength(1);
  });

  it('follows the pointer within a second, and at once when the old build is gone', async () => {
    const stores = new Stores();
    const { view, clock } = await openView(stores);
    const switched = () => {
      stores.builds = [buildOf(ONE, 5), buildOf(TWO, 5)];
      stores.pointer = pointerTo(TWO, { previous: ONE, revision: 2 });
    };
    switched();
    clock.advance(1_000);
    await settled();
    expect(view.status().collection).toBe(TWO);

    const other = new Stores();
    const { view: second, clock: secondClock } = await openView(other);
    other.builds = [buildOf(TWO, 5)];
    other.pointer = pointerTo(TWO, { revision: 2 });
    secondClock.advance(100);
    expect(await second.read(['a'])).toHaveLength(1);
    expect(second.status().collection).toBe(TWO);
  });

  it('looks up a view again that was not built yet', async () => {
    const stores = new Stores();
    stores.pointer = null;
    const { view, clock } = await openView(stores);
    await refused(view);
    stores.pointer = pointerTo(ONE);
    clock.advance(100);
    expect(await view.read(['a'])).toHaveLength(1);
  });

  it('forgets the positions of another event store', async () => {
    const stores = new Stores();
    const { view, clock } = await openView(stores);
    stores.identity = 'restored';
    stores.head = at(3);
    clock.advance(1_000);
    await settled();
    await refused(view);
    stores.builds = [buildOf(TWO, 3, { storeIdentity: 'restored' })];
    stores.pointer = pointerTo(TWO, { revision: 2 });
    clock.advance(1_000);
    await settled();
    expect(await view.read(['a'])).toHaveLength(1);
  });

  it('throws an error of the query as it is', async () => {
    const stores = new Stores();
    const { view } = await openView(stores);
    stores.readModels.find = () => Promise.reject(new RekeyError('invalid_request', 'No such field.'));
    await expect(view.find({ limit: 1 })).rejects.toMatchObject({ code: 'invalid_request' });
  });

  describe('waitFor', () => {
    it('counts as a read of the checkpoint: the view is ready after a wait', async () => {
      const stores = new Stores();
      const { view } = await openView(stores);
      stores.builds = [buildOf(ONE, 6)];
      expect(await view.waitFor(at(6), 0)).toBe(true);
      expect(view.status()).toEqual({ ready: true, checkpoint: at(6), collection: ONE });
    });

    const announced = (stores: Stores, checkpoint: number) => {
      stores.builds = [buildOf(ONE, 5), buildOf(TWO, checkpoint)];
      stores.pointer = pointerTo(ONE, { previous: TWO, revision: 2 });
    };

    it('waits for the active build', async () => {
      const { view } = await openView(new Stores());
      expect(await view.waitFor(at(5), 0)).toBe(true);
      expect(await view.waitFor(at(6), 0)).toBe(false);
    });

    it('waits for the old and the new build during a switch', async () => {
      const stores = new Stores();
      announced(stores, 4);
      const { view } = await openView(stores);
      expect(await view.waitFor(at(5), 0)).toBe(false);
      announced(stores, 5);
      expect(await view.waitFor(at(5), 0)).toBe(true);
    });

    it('returns false when a switch was announced during the wait', async () => {
      const stores = new Stores();
      const { view } = await openView(stores);
      announced(stores, 4);
      expect(await view.waitFor(at(5), 0)).toBe(false);
    });

    it('does not wait for a previous build that is gone', async () => {
      const stores = new Stores();
      stores.pointer = pointerTo(ONE, { previous: TWO });
      const { view } = await openView(stores);
      expect(await view.waitFor(at(5), 0)).toBe(true);
    });

    it('returns false for a stream whose document is broken', async () => {
      const stores = new Stores();
      const { view } = await openView(stores);
      expect(await view.waitFor(at(5), 0, 'a')).toBe(true);
      Object.assign(stores.document, { broken: true });
      expect(await view.waitFor(at(5), 0, 'a')).toBe(false);
      expect(await view.waitFor(at(5), 0)).toBe(true);
    });

    it('waits for builds that this process cannot read, and returns false when the stores become unavailable', async () => {
      const stores = new Stores();
      const { view } = await openView(stores, { versions: [2] });
      await expect(view.read(['a'])).rejects.toMatchObject({ code: 'unavailable' });
      expect(await view.waitFor(at(5), 0, 'a')).toBe(true);
      stores.meanwhile = () => (stores.away = true);
      expect(await view.waitFor(at(5), 0, 'a')).toBe(false);
    });

    it('returns false when the stores are unavailable or the build was made from another store', async () => {
      const stores = new Stores();
      const { view, clock } = await openView(stores);
      stores.away = true;
      expect(await view.waitFor(at(5), 0)).toBe(false);
      stores.away = false;
      stores.identity = 'other';
      clock.advance(1_000);
      await settled();
      expect(await view.waitFor(at(5), 0)).toBe(false);
    });
  });
});

describe('chooseBuild', () => {
  const situation = { versions: [1], identity: 'here', head: at(9) };
  const switched = pointerTo(TWO, { previous: ONE });

  it('keeps the previous build while the new one is behind what was read from it', () => {
    const builds = [buildOf(ONE, 8), buildOf(TWO, 7)];
    const choose = (floor: number, held = builds) =>
      chooseBuild({ ...situation, pointer: switched, builds: held }, { collection: ONE, floor: at(floor) });
    expect(choose(8)).toEqual({ build: builds[0] });
    expect(choose(7)).toEqual({ build: builds[1] });
    expect(choose(8, [buildOf(TWO, 7)])).toEqual({ build: buildOf(TWO, 7) });
  });

  it('chooses the new build when it has read from a third one', () => {
    const builds = [buildOf(ONE, 8), buildOf(TWO, 7)];
    const adopted = { collection: 'authentication.v1.zero', floor: at(8) };
    expect(chooseBuild({ ...situation, pointer: switched, builds }, adopted)).toEqual({ build: builds[1] });
  });
});

import type { ApplicationCredentials } from '@rekey/contracts';
import { applicationIdOf, applicationStream } from '@rekey/domain';
import { ActiveView } from '@rekey/platform';
import { eventually } from '@rekey/testing';
import { VIEWS, authenticationView, type Projector, type View } from '../index';
import { randomUUID } from 'node:crypto';
import { FastClock, RandomHistory, TestStores, copyOf, through } from '../read-models.testing';

const DOMAIN = 'domain-0';
const APPLICATION = applicationIdOf(DOMAIN, 'client');
const STREAM = applicationStream(APPLICATION);
const IDS = { domainId: DOMAIN, applicationId: APPLICATION };
/** Fast enough that the previous build is dropped within the test. */
const FAST = 60;

/** Adds and revokes secrets of one application, and records what was acknowledged. */
class Load {
  /** Secrets that were acknowledged as added, and as revoked. */
  readonly added = new Set<string>();
  readonly revoked = new Set<string>();
  /** Changes that are not acknowledged, as the wait for them timed out. */
  private open: (() => void)[] = [];
  private readonly live: string[] = [];
  acknowledged = 0;
  reads = 0;
  refusals = 0;
  readonly wrong: string[] = [];
  private readonly ending = new AbortController();
  private readonly work: Promise<void>[] = [];

  constructor(
    private readonly history: RandomHistory,
    private readonly readers: readonly ActiveView[],
    private readonly waiter: ActiveView,
  ) {}

  async start(): Promise<void> {
    await this.history.commandDomain(DOMAIN, { type: 'CreateDomain', data: { domainId: DOMAIN, name: 'Domain' } });
    await this.history.command({ type: 'RegisterApplication', data: { ...IDS, clientId: 'client', name: 'App' } });
    this.work.push(this.write(), ...this.readers.map((reader) => this.read(reader)));
  }

  async stop(): Promise<void> {
    this.ending.abort();
    await Promise.all(this.work);
  }

  private async write(): Promise<void> {
    while (!this.ending.signal.aborted) {
      if (this.live.length < 3) {
        const secretId = randomUUID();
        await this.history.command({ type: 'AddSecret', data: { ...IDS, secretId, description: secretId } });
        this.live.push(secretId);
        this.open.push(() => this.added.add(secretId));
      } else {
        const secretId = this.live.shift() ?? '';
        this.added.delete(secretId);
        await this.history.command({ type: 'RevokeSecret', data: { ...IDS, secretId, force: true } });
        this.open.push(() => {
          this.added.delete(secretId);
          this.revoked.add(secretId);
        });
      }
      const open = this.open;
      if (!(await this.waiter.waitFor(this.history.position, 200))) continue;
      this.open = [];
      for (const acknowledge of open) acknowledge();
      this.acknowledged += open.length;
    }
  }

  private async read(reader: ActiveView): Promise<void> {
    while (!this.ending.signal.aborted) {
      const added = [...this.added];
      const revoked = new Set(this.revoked);
      try {
        const [document] = await reader.read<ApplicationCredentials>([STREAM]);
        this.reads += 1;
        const there = new Set(document?.secrets.map(({ secretId }) => secretId));
        for (const secretId of there) if (revoked.has(secretId)) this.wrong.push(`${secretId} was revoked`);
        // A secret that was revoked during the read may be in it or not.
        for (const secretId of added)
          if (!there.has(secretId) && this.added.has(secretId)) this.wrong.push(`${secretId} is missing`);
      } catch (error) {
        if ((error as { code?: string }).code !== 'unavailable') throw error;
        this.refusals += 1;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

describe('ActiveView under load', () => {
  let stores: TestStores;
  let views: ActiveView[];
  let projectors: Projector[];
  let load: Load;

  const open = async (more: { versions?: readonly number[] } = {}): Promise<ActiveView> => {
    const { store, readModels } = stores;
    const view = new ActiveView({ store, readModels, clock: new FastClock(1), view: 'authentication', ...more });
    views.push(view);
    await view.start();
    return view;
  };

  const project = async (name: string, view: View = authenticationView): Promise<Projector> => {
    const projector = stores.projector({ name, views: [view], clock: new FastClock(FAST), pageSize: 50 });
    projectors.push(projector);
    await projector.start();
    return projector;
  };

  const begin = async (versions?: readonly number[]): Promise<void> => {
    const more = versions ? { versions } : {};
    const readers = [await open(more), await open(more)];
    load = new Load(new RandomHistory(stores.store, 1), readers, await open(more));
    await load.start();
    await acknowledgedMore(20);
    load.refusals = 0;
  };

  const acknowledgedMore = async (count: number): Promise<void> => {
    const until = load.acknowledged + count;
    await eventually(() => load.acknowledged >= until);
  };

  const active = async (): Promise<string> => (await stores.readModels.pointer('authentication'))?.collection ?? '';

  beforeEach(async () => {
    stores = await TestStores.open();
    views = [];
    projectors = [];
  });
  afterEach(async () => {
    await load.stop();
    for (const view of views) view.stop();
    await Promise.all(projectors.map((projector) => projector.stop()));
    await stores.remove();
    expect(load.wrong).toEqual([]);
    expect(load.reads).toBeGreaterThan(100);
  });

  it('returns every acknowledged change while the build is dropped again and again', async () => {
    await project('one');
    await begin();
    for (let round = 0; round < 5; round++) {
      const lost = await active();
      await stores.readModels.dropBuild(lost);
      await expect(views[0]?.read([STREAM])).rejects.toMatchObject({ code: 'unavailable' });
      await eventually(async () => (await active()) !== lost);
      await acknowledgedMore(10);
    }
    expect(load.refusals).toBeGreaterThan(0);
  });

  it('returns every acknowledged change while the build is restored from an older backup', async () => {
    await project('one');
    await begin();
    for (let round = 0; round < 5; round++) {
      const put = await active();
      const copy = await copyOf(stores, put, authenticationView.indexes);
      await acknowledgedMore(12);
      await copy.putBack();
      await eventually(async () => (await active()) !== put);
      await acknowledgedMore(10);
    }
    expect(load.refusals).toBeGreaterThan(0);
  });

  it('returns every acknowledged change while rebuilt builds take over', async () => {
    await project('one');
    await begin();
    for (let round = 0; round < 4; round++) {
      const collection = await stores.rebuild('authentication');
      await eventually(async () => (await active()) === collection);
      await acknowledgedMore(30);
      await eventually(async () => (await stores.readModels.pointer('authentication'))?.previous === undefined);
    }
    expect(load.refusals).toBe(0);
  });

  it('returns every acknowledged change while a new version takes over, and old code stops reading', async () => {
    await project('old');
    await begin([1, 2]);
    const old = await open({ versions: [1] });
    await project('new', { ...authenticationView, version: 2 });
    await eventually(async () => (await stores.readModels.pointer('authentication'))?.version === 2);
    await acknowledgedMore(50);
    await eventually(() => old.status().cause?.includes('version 2') ?? false);
    await expect(old.read([STREAM])).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('version 2'),
    });
    await eventually(async () => (await stores.readModels.builds('authentication')).length === 1);
    await acknowledgedMore(50);
    expect(load.refusals).toBe(0);
  });

  it('returns every acknowledged change while a standby takes over from a dead projector', async () => {
    let dead = false;
    const { store, readModels } = stores;
    const mortal = through(readModels, (_, call) => (dead ? new Promise(() => undefined) : call()));
    const first = stores.projector({
      store,
      readModels: mortal,
      name: 'first',
      views: [authenticationView],
      clock: new FastClock(FAST),
    });
    await first.start();
    await project('second');
    await begin();
    dead = true;
    await acknowledgedMore(20);
    expect(load.refusals).toBe(0);
  });

  it('a new reader waits for every change before its start', async () => {
    await project('one');
    await begin();
    for (let round = 0; round < 10; round++) {
      const fresh = await open();
      const { revoked } = load;
      const known = new Set(revoked);
      await eventually(async () => {
        const documents = await fresh.read<ApplicationCredentials>([STREAM]).catch(() => undefined);
        for (const { secretId } of documents?.[0]?.secrets ?? []) expect(known.has(secretId)).toBe(false);
        return documents !== undefined;
      });
      await acknowledgedMore(3);
    }
    expect(await stores.failed()).toEqual([]);
    expect(VIEWS).toHaveLength(6);
  });
});

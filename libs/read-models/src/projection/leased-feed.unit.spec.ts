import { SystemClock, type Build, type StoredEvent } from '@rekey/ports';
import { Feed } from './feed';
import { LeasedFeed, SILENT } from './leased-feed';
import { Publishing } from './publishing';

const build = (owner: string): Build => ({
  collection: 'secrets.v1.000001x',
  view: 'secrets',
  version: 1,
  storeIdentity: 's',
  target: '',
  checkpoint: '',
  owner,
  beat: 1,
});
const clock = new SystemClock();

describe('following the feed', () => {
  /** A store whose subscription has no events, and read models that call `during` while the lease is acquired. */
  const feedOf = () => {
    const subscribe = async function* ({ signal }: { signal: AbortSignal }) {
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      yield* [];
    };
    return new Feed({ store: { readFeed: () => Promise.resolve<StoredEvent[]>([]), subscribe }, clock, pageSize: 10 });
  };
  const readModelsOf = (during: () => void, owner = '') => ({
    builds: () => Promise.resolve([build(owner)]),
    claim: (_: string, next: string) => (during(), Promise.resolve(build((owner = next)))),
    advance: () => Promise.resolve(true),
    createBuild: () => (during(), Promise.resolve()),
  });

  it('stops while the lease is being acquired', async () => {
    const ending = new AbortController();
    const feed = feedOf();
    const readModels = readModelsOf(() => ending.abort());
    const work = { begin: () => Promise.resolve(), apply: () => Promise.resolve('moved' as const) };
    const leased = new LeasedFeed({
      readModels,
      clock,
      feed,
      collection: build('').collection,
      view: 'secrets',
      owner: 'me/1',
      work,
      log: SILENT,
    });
    expect(await leased.run(ending.signal)).toBe('stopped');
    feed.close();
  });

  it('stops while the publisher creates its checkpoint', async () => {
    const ending = new AbortController();
    const feed = feedOf();
    const readModels = readModelsOf(() => ending.abort());
    const store = { identity: () => Promise.resolve('s') };
    const publisher = { publish: () => Promise.resolve(), close: () => Promise.resolve() };
    await new Publishing(publisher, feed, 'me/1', { store, readModels: readModels as never, clock }, SILENT).run(
      ending.signal,
    );
    feed.close();
  });
});

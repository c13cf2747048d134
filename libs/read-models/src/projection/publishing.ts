import { redact } from '@rekey/domain';
import {
  START,
  sha256,
  type Clock,
  type EventPublisher,
  type EventStore,
  type Position,
  type ReadModels,
} from '@rekey/ports';
import type { LeaseState } from './build-plan';
import type { Feed, FeedPage } from './feed';
import { LeasedFeed, type Advance, type FeedWork, type Log } from './leased-feed';

/** The publisher's checkpoint is stored like that of a view with this name. */
export const PUBLISHED = 'published';
const LOOK_EVERY_MS = 2_000;

/** Passes the feed to the publisher, with a lease and a checkpoint for each history of the store. */
export class Publishing implements FeedWork {
  constructor(
    private readonly publisher: EventPublisher,
    private readonly feed: Feed,
    private readonly owner: string,
    private readonly options: {
      readonly store: Pick<EventStore, 'identity'>;
      readonly readModels: ReadModels;
      readonly clock: Clock;
    },
    private readonly log: Log,
  ) {}

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted)
      try {
        await this.publishHistory(await this.options.store.identity(), signal);
      } catch (error) {
        this.log.warn({ err: error }, 'publishing failed, trying again');
        await this.options.clock.sleep(LOOK_EVERY_MS, signal);
      }
  }

  async begin(): Promise<void> {
    // No state to load.
  }

  /** Publishes a page without verifiers. */
  async apply({ events }: FeedPage, _checkpoint: Position, advance: Advance): Promise<LeaseState> {
    await this.publisher.publish(events.map(({ stored }) => ({ ...stored, data: redact(stored.data, sha256) })));
    return advance();
  }

  /** Publishes until the store has another history. After a failure, events may be published again with the same id. */
  private async publishHistory(storeIdentity: string, signal: AbortSignal): Promise<void> {
    const { readModels, clock } = this.options;
    const { feed, owner, log } = this;
    const collection = `${PUBLISHED}.v1.${storeIdentity.toLowerCase()}`;
    await readModels.createBuild(
      { collection, view: PUBLISHED, version: 1, storeIdentity, target: START, checkpoint: START, owner: '', beat: 0 },
      [],
    );
    const history = new AbortController();
    const end = (): void => history.abort();
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    const watching = this.endWithHistory(storeIdentity, history);
    const run = new LeasedFeed({ readModels, clock, feed, collection, view: PUBLISHED, owner, work: this, log });
    await run.run(history.signal);
    history.abort();
    await watching;
    signal.removeEventListener('abort', end);
  }

  private async endWithHistory(identity: string, history: AbortController): Promise<void> {
    const { store, clock } = this.options;
    while (!history.signal.aborted) {
      await clock.sleep(LOOK_EVERY_MS, history.signal);
      const now = await store.identity().catch(() => identity);
      if (now !== identity) history.abort();
    }
  }
}

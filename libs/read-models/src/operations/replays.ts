import type { Instant } from '@rekey/domain';
import type { CollectionName, ReadModels, ViewDocument } from '@rekey/ports';
import { createPlainCollection } from '../plain-collection';

/*
 * Any process can request the replay of a parked stream; the owner of the build executes it. One document per build and
 * stream counts the requests and has the latest result, and one document per build counts all requests for that build, so
 * that its owner sees by one read whether there are new ones. Counts are incremented and results are set by field, never
 * by replacing the document, so a concurrent request is not lost.
 */

/** Result of the replay of a parked stream. */
export interface ReplayResult {
  readonly events: number;
  /** Number of events that still wait; 0 if all events were folded. */
  readonly waiting: number;
  readonly cause?: string;
}

/** The latest request to replay a stream, and the latest result. */
export interface ReplayRecord {
  readonly askedAt: Instant;
  readonly askedBy: string;
  /** Absent until the owner of the build has replayed the stream once. */
  readonly result?: ReplayResult & { readonly at: Instant };
  /** Whether every request has a result. */
  readonly answered: boolean;
}

interface ReplayDocument extends ViewDocument {
  readonly asked: number;
  readonly askedAt: Instant;
  readonly askedBy: string;
  /** The value of `asked` that the latest result belongs to. */
  readonly answered?: number;
  readonly answeredAt?: Instant;
  readonly events?: number;
  readonly waiting?: number;
  readonly cause?: string | null;
}

/** A request to replay a stream. `asked` counts the requests so far. */
export interface ReplayRequest {
  readonly stream: string;
  readonly asked: number;
}

export const REPLAYS_COLLECTION = 'replays.v1';
/** Ids per read. */
const PAGE = 1_000;

const idOf = (collection: CollectionName, stream: string): string => `${collection}/${stream}`;

/** Creates the collection if it is missing. */
export const createReplays = (readModels: Pick<ReadModels, 'createBuild'>): Promise<void> =>
  createPlainCollection(readModels, REPLAYS_COLLECTION, 'replays', []);

// ── Requesting ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Requests the replay of a stream in each of the builds. */
export const requestReplay = async (
  readModels: Pick<ReadModels, 'createBuild' | 'accumulate'>,
  collections: readonly CollectionName[],
  stream: string,
  about: { readonly askedAt: Instant; readonly askedBy: string },
): Promise<void> => {
  await createReplays(readModels);
  const ofStream = collections.map((collection) => ({ _id: idOf(collection, stream), add: { asked: 1 }, set: about }));
  // Written last: an owner that sees the new count of its build must find the request.
  const ofBuild = collections.map((collection) => ({ _id: collection, add: { asked: 1 }, set: {} }));
  await readModels.accumulate(REPLAYS_COLLECTION, ofStream);
  await readModels.accumulate(REPLAYS_COLLECTION, ofBuild);
};

/** Returns the replay record of each build and stream; undefined if no replay was ever requested. */
export const replayRecords = async (
  readModels: Pick<ReadModels, 'read'>,
  parked: readonly { readonly collection: CollectionName; readonly stream: string }[],
): Promise<(ReplayRecord | undefined)[]> => {
  const ids = parked.map(({ collection, stream }) => idOf(collection, stream));
  return (await documentsOf(readModels, ids)).map((document) => (document ? recordOf(document) : undefined));
};

const recordOf = ({
  asked,
  askedAt,
  askedBy,
  answered = 0,
  answeredAt,
  events = 0,
  waiting = 0,
  cause,
}: ReplayDocument): ReplayRecord => ({
  askedAt,
  askedBy,
  answered: answered >= asked,
  ...(answeredAt !== undefined && {
    result: { at: answeredAt, events, waiting, ...(typeof cause === 'string' && { cause }) },
  }),
});

// ── Executing ────────────────────────────────────────────────────────────────────────────────────────────────────

/** The replay requests for one build, as its owner uses them. */
export class ReplaysOfBuild {
  /** The build's count up to which every request has a result. */
  private answeredCount = 0;

  constructor(
    private readonly readModels: Pick<ReadModels, 'read' | 'accumulate'>,
    private readonly collection: CollectionName,
  ) {}

  /** Calls `handle` for each open request of these streams. Stops if it returns false; the requests then stay open. */
  async each(streams: readonly string[], handle: (request: ReplayRequest) => Promise<boolean>): Promise<void> {
    const [ofBuild] = await documentsOf(this.readModels, [this.collection]);
    const asked = ofBuild?.asked ?? 0;
    if (asked === this.answeredCount) return;
    for (const request of await this.open(streams)) if (!(await handle(request))) return;
    this.answeredCount = asked;
  }

  /** Stores a result, which answers every request up to `asked`. */
  async answer(
    { stream, asked }: ReplayRequest,
    { events, waiting, cause = null }: ReplayedWithCause,
    at: Instant,
  ): Promise<void> {
    const set = { answered: asked, answeredAt: at, events, waiting, cause };
    await this.readModels.accumulate(REPLAYS_COLLECTION, [{ _id: idOf(this.collection, stream), add: {}, set }]);
  }

  private async open(streams: readonly string[]): Promise<ReplayRequest[]> {
    const documents = await documentsOf(
      this.readModels,
      streams.map((stream) => idOf(this.collection, stream)),
    );
    return streams.flatMap((stream, index) => {
      const { asked = 0, answered = 0 } = documents[index] ?? {};
      return asked > answered ? [{ stream, asked }] : [];
    });
  }
}

type ReplayedWithCause = Omit<ReplayResult, 'cause'> & { readonly cause?: string | null };

const documentsOf = async (
  readModels: Pick<ReadModels, 'read'>,
  ids: readonly string[],
): Promise<(ReplayDocument | null)[]> => {
  const found: (ReplayDocument | null)[] = [];
  for (let from = 0; from < ids.length; from += PAGE) {
    const page = await readModels.read<ReplayDocument>(REPLAYS_COLLECTION, ids.slice(from, from + PAGE));
    found.push(...page.documents);
  }
  return found;
};

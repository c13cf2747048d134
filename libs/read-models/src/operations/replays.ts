import type { Instant } from '@rekey/domain';
import { START, type CollectionName, type ReadModels, type ViewDocument } from '@rekey/ports';

/*
 * A parked stream is replayed by the process that owns the build, and asked for from any. What is asked lies beside the
 * parked streams: one document per build and stream counts how often it was asked for and says what came of it, and one
 * per build counts all that was asked of that build, so that its owner sees by one read whether there is anything new.
 * Counts are added to and results set, never replaced, so nobody's asking is lost behind somebody's answer.
 */

/** What a replay of a parked stream came to. */
export interface Replayed {
  readonly events: number;
  /** Events that still wait, and why; 0: the stream is whole again. */
  readonly waiting: number;
  readonly cause?: string;
}

/** What was asked of a stream's replay, and what came of it. */
export interface ReplayRecord {
  readonly askedAt: Instant;
  readonly askedBy: string;
  /** Of the latest answer; absent where nobody has taken it up yet. */
  readonly result?: Replayed & { readonly at: Instant };
  /** Whether all that was asked was answered. */
  readonly answered: boolean;
}

interface ReplayDocument extends ViewDocument {
  readonly asked: number;
  readonly askedAt: Instant;
  readonly askedBy: string;
  /** The count of `asked` that the latest answer is for. */
  readonly answered?: number;
  readonly answeredAt?: Instant;
  readonly events?: number;
  readonly waiting?: number;
  readonly cause?: string | null;
}

/** A replay that was asked for, as its taker knows it. */
export interface ReplayRequest {
  readonly stream: string;
  readonly asked: number;
}

export const REPLAYS_COLLECTION = 'replays.v1';
/** Ids in one read. */
const PAGE = 1_000;

const idOf = (collection: CollectionName, stream: string): string => `${collection}/${stream}`;

/** Makes the collection where it is missing. It is derived from no history, so it has no identity. */
export const createReplays = (readModels: Pick<ReadModels, 'createBuild'>): Promise<void> =>
  readModels.createBuild(
    {
      collection: REPLAYS_COLLECTION,
      view: 'replays',
      version: 1,
      storeIdentity: '',
      target: START,
      checkpoint: START,
      owner: '',
      beat: 0,
    },
    [],
  );

// ── Asking ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Asks the owners of builds to replay a stream in each. */
export const askForReplay = async (
  readModels: Pick<ReadModels, 'createBuild' | 'accumulate'>,
  collections: readonly CollectionName[],
  stream: string,
  about: { readonly askedAt: Instant; readonly askedBy: string },
): Promise<void> => {
  await createReplays(readModels);
  const ofStream = collections.map((collection) => ({ _id: idOf(collection, stream), add: { asked: 1 }, set: about }));
  // After the former: who sees the count sees what was counted.
  const ofBuild = collections.map((collection) => ({ _id: collection, add: { asked: 1 }, set: {} }));
  await readModels.accumulate(REPLAYS_COLLECTION, ofStream);
  await readModels.accumulate(REPLAYS_COLLECTION, ofBuild);
};

/** What was asked of streams, by build and stream, and what came of it; undefined where nobody has asked. */
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

// ── Answering ────────────────────────────────────────────────────────────────────────────────────────────────────

/** What was asked of one build, for the process that owns it. */
export class ReplaysOfBuild {
  /** The build's count when all that was asked till then had been answered. */
  private settled = 0;

  constructor(
    private readonly readModels: Pick<ReadModels, 'read' | 'accumulate'>,
    private readonly collection: CollectionName,
  ) {}

  /** Hands over, one after the other, what was asked of these streams and not answered yet; all again where one is not taken. */
  async each(streams: readonly string[], take: (asked: ReplayRequest) => Promise<boolean>): Promise<void> {
    const [ofBuild] = await documentsOf(this.readModels, [this.collection]);
    const asked = ofBuild?.asked ?? 0;
    if (asked === this.settled) return;
    for (const each of await this.open(streams)) if (!(await take(each))) return;
    this.settled = asked;
  }

  /** Says what came of a replay, to all who had asked by then. */
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

type ReplayedWithCause = Omit<Replayed, 'cause'> & { readonly cause?: string | null };

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

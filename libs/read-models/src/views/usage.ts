import type { Instant } from '@rekey/domain';
import { START, type ReadModels, type ViewDocument } from '@rekey/ports';

/** When and from where a secret was last used, and how often: approximate, for it is written in batches. */
export interface SecretUsage {
  readonly lastUsedAt: Instant;
  readonly from?: string;
  readonly count: number;
}

/** Uses of one secret since the batch before. */
export interface UsageChange {
  /** Of the secret's document (`secretDocumentId`). */
  readonly id: string;
  readonly count: number;
  readonly lastUsedAt: Instant;
  readonly from?: string;
}

interface UsageDocument extends ViewDocument {
  readonly count: number;
  readonly lastUsedAt: Instant;
  readonly lastUsedFrom: string | null;
}

/** Not derived from events, so neither rebuilt nor pointed at. */
export const USAGE_COLLECTION = 'usage.v1';

/** Makes the collection where it is missing. */
export const createUsage = (readModels: Pick<ReadModels, 'createBuild'>): Promise<void> =>
  readModels.createBuild(
    {
      collection: USAGE_COLLECTION,
      view: 'usage',
      version: 1,
      storeIdentity: '',
      target: START,
      checkpoint: START,
      owner: '',
      beat: 0,
    },
    [{ name: 'lastUsedAt', fields: ['lastUsedAt'] }],
  );

/** Adds a batch of uses. Throws `EngineUnavailable` where it was not taken. */
export const recordUsage = (readModels: Pick<ReadModels, 'accumulate'>, batch: readonly UsageChange[]): Promise<void> =>
  readModels.accumulate(
    USAGE_COLLECTION,
    batch.map(({ id, count, lastUsedAt, from }) => ({
      _id: id,
      add: { count },
      set: { lastUsedAt, lastUsedFrom: from ?? null },
    })),
  );

/** Usage by secret document id (`secretDocumentId`); secrets that were never used are missing. */
export const readUsage = async (
  readModels: Pick<ReadModels, 'read'>,
  ids: readonly string[],
): Promise<ReadonlyMap<string, SecretUsage>> => {
  const { documents } = await readModels.read<UsageDocument>(USAGE_COLLECTION, ids);
  const usage = new Map<string, SecretUsage>();
  for (const [index, id] of ids.entries()) {
    const known = documents[index];
    if (!known) continue;
    const { count, lastUsedAt, lastUsedFrom } = known;
    usage.set(id, { count, lastUsedAt, ...(lastUsedFrom !== null && { from: lastUsedFrom }) });
  }
  return usage;
};

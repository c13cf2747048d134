import type { Instant } from '@rekey/domain';
import type { ReadModels, ViewDocument } from '@rekey/ports';
import { createPlainCollection } from '../plain-collection';

/** Last use and number of uses of a secret. Approximate: written in batches, and a batch may be lost. */
export interface SecretUsage {
  readonly lastUsedAt: Instant;
  readonly from?: string;
  readonly count: number;
}

/** Uses of one secret since the previous batch. */
export interface UsageChange {
  /** Document id of the secret (`secretDocumentId`). */
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

/** Not derived from events, so it has no builds and no pointer. */
export const USAGE_COLLECTION = 'usage.v1';

/** Creates the collection if it is missing. */
export const createUsage = (readModels: Pick<ReadModels, 'createBuild'>): Promise<void> =>
  createPlainCollection(readModels, USAGE_COLLECTION, 'usage', [{ name: 'lastUsedAt', fields: ['lastUsedAt'] }]);

/** Adds a batch of uses. Throws `EngineUnavailable` if it was not stored. */
export const recordUsage = (readModels: Pick<ReadModels, 'accumulate'>, batch: readonly UsageChange[]): Promise<void> =>
  readModels.accumulate(
    USAGE_COLLECTION,
    batch.map(({ id, count, lastUsedAt, from }) => ({
      _id: id,
      add: { count },
      set: { lastUsedAt, lastUsedFrom: from ?? null },
    })),
  );

/** Returns usage by document id (`secretDocumentId`). Secrets that were never used are missing. */
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

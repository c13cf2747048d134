import { type CommandReply, sealedValueSchema } from '@rekey/contracts';
import type { Instant } from '@rekey/domain';
import { EngineUnavailable, type Outcome, Outcomes, type SealedValue } from '@rekey/ports';
import type { Collection, Db } from 'mongodb';
import { isDuplicate, MAJORITY_READ, type MongoDatabase } from './mongo-database';

/** The reply is JSON text, which returns unchanged whatever its keys are. */
interface StoredOutcome extends Omit<Outcome, 'commandId' | 'reply' | 'valueEventId'> {
  readonly _id: string;
  readonly reply: string;
  readonly valueEventId: string | null;
}

interface StoredValue {
  readonly _id: string;
  readonly sealedSecret: string;
  readonly expiresAt: Instant;
}

const outcomesIn = (database: Db): Collection<StoredOutcome> => database.collection('outcomes');
const valuesIn = (database: Db): Collection<StoredValue> => database.collection('sealed-values');

const STORE = 'outcome store (MongoDB)';

/** Outcomes of commands, shared by the replicas of the command-service. */
export class MongoOutcomes extends Outcomes {
  private closed = false;
  private indexed = false;

  /** The caller closes the database, after the outcomes. */
  constructor(private readonly database: MongoDatabase) {
    super();
  }

  async find(commandId: string): Promise<Outcome | null> {
    const stored = await this.run((database) => outcomesIn(database).findOne({ _id: commandId }, MAJORITY_READ));
    return stored && outcomeOf(stored);
  }

  async record(outcome: Outcome): Promise<Outcome> {
    const { commandId, reply, valueEventId = null, ...rest } = outcome;
    if (typeof reply.result?.sealedSecret === 'string')
      throw new TypeError('An outcome must not contain a secret value.');
    const inserted = { ...rest, reply: JSON.stringify(reply), valueEventId };
    const stored = await this.run((database, late) =>
      retryDuplicates(late, () =>
        outcomesIn(database).findOneAndUpdate(
          { _id: commandId },
          { $setOnInsert: inserted },
          { upsert: true, returnDocument: 'after' },
        ),
      ),
    );
    if (!stored) throw new EngineUnavailable(STORE);
    return outcomeOf(stored);
  }

  async seal({ eventId, sealedSecret, expiresAt }: SealedValue): Promise<void> {
    // Anything other than a JWE could be a secret value in plain text.
    if (!sealedValueSchema.safeParse(sealedSecret).success)
      throw new TypeError('Only a sealed value (JWE) can be stored.');
    await this.run((database, late) =>
      retryDuplicates(late, () =>
        valuesIn(database).updateOne({ _id: eventId }, { $set: { sealedSecret, expiresAt } }, { upsert: true }),
      ),
    );
  }

  async sealed(eventId: string, now: Instant): Promise<string | null> {
    const stored = await this.run((database) => valuesIn(database).findOne({ _id: eventId }, MAJORITY_READ));
    return stored && stored.expiresAt > now ? stored.sealedSecret : null;
  }

  async purge(recordedBefore: Instant, now: Instant): Promise<void> {
    await this.run(async (database) => {
      if (!this.indexed) {
        await outcomesIn(database).createIndex({ recordedAt: 1 }, { name: 'recordedAt' });
        await valuesIn(database).createIndex({ expiresAt: 1 }, { name: 'expiresAt' });
        this.indexed = true;
      }
      await outcomesIn(database).deleteMany({ recordedAt: { $lt: recordedBefore } });
      await valuesIn(database).deleteMany({ expiresAt: { $lte: now } });
    });
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  private run<T>(work: (database: Db, late: AbortSignal) => Promise<T>): Promise<T> {
    if (this.closed)
      return Promise.reject(new EngineUnavailable(STORE, { cause: new Error('Rekey is shutting down.') }));
    return this.database.run(work);
  }
}

/** Retries an upsert that failed as a duplicate: of two concurrent ones that find nothing, one fails. */
const retryDuplicates = async <T>(late: AbortSignal, upsert: () => Promise<T>): Promise<T> => {
  for (;;)
    try {
      return await upsert();
    } catch (error) {
      if (!isDuplicate(error) || late.aborted) throw error;
    }
};

const outcomeOf = ({ _id, fingerprint, caller, recordedAt, reply, valueEventId }: StoredOutcome): Outcome => ({
  commandId: _id,
  fingerprint,
  caller,
  recordedAt,
  reply: JSON.parse(reply) as CommandReply,
  ...(valueEventId !== null && { valueEventId }),
});

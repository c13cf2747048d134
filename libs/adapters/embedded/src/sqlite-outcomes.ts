import { type CommandReply, sealedValueSchema } from '@rekey/contracts';
import type { Instant } from '@rekey/domain';
import { EngineUnavailable, type Outcome, Outcomes, type SealedValue } from '@rekey/ports';
import type { SqliteDatabase } from './sqlite-database';
import { CLOSED, ENGINE } from './sqlite-errors';
import type { Row, Statement } from './sqlite-statement';

const PART = 'outcomes';
const SCHEMA = [
  [
    `CREATE TABLE outcomes (
      command_id TEXT PRIMARY KEY,
      fingerprint TEXT NOT NULL,
      caller TEXT NOT NULL,
      recorded_at TEXT NOT NULL,
      reply TEXT NOT NULL,
      value_event_id TEXT
    ) STRICT, WITHOUT ROWID`,
    'CREATE INDEX outcomes_recorded_at ON outcomes (recorded_at)',
    `CREATE TABLE sealed_values (
      event_id TEXT PRIMARY KEY,
      sealed_secret TEXT NOT NULL,
      expires_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID`,
    'CREATE INDEX sealed_values_expires_at ON sealed_values (expires_at)',
  ],
];

const SELECT = `SELECT command_id, fingerprint, caller, recorded_at, reply, value_event_id FROM outcomes WHERE command_id = ?`;

/** Outcomes of commands in the store's file, beside its events. */
export class SqliteOutcomes extends Outcomes {
  private closed = false;
  private readonly byId: Statement<Row>;
  private readonly sealedByEvent: Statement<{ sealed_secret: string }>;

  private constructor(private readonly database: SqliteDatabase) {
    super();
    this.byId = database.prepare(SELECT);
    this.sealedByEvent = database.prepare(
      'SELECT sealed_secret FROM sealed_values WHERE event_id = ? AND expires_at > ?',
    );
  }

  /** Creates missing tables. The caller closes the database, after the outcomes. */
  static async open(database: SqliteDatabase): Promise<SqliteOutcomes> {
    await database.migrate(PART, SCHEMA);
    return new SqliteOutcomes(database);
  }

  async find(commandId: string): Promise<Outcome | null> {
    this.refuseIfClosed();
    const row = this.byId.get([commandId]);
    return row ? outcomeOf(row) : null;
  }

  async record(outcome: Outcome): Promise<Outcome> {
    this.refuseIfClosed();
    const { commandId, fingerprint, caller, recordedAt, reply, valueEventId = null } = outcome;
    if (typeof reply.result?.sealedSecret === 'string')
      throw new TypeError('An outcome must not contain a secret value.');
    const [, stored] = await this.database.write([
      {
        kind: 'run',
        sql: `INSERT INTO outcomes (command_id, fingerprint, caller, recorded_at, reply, value_event_id)
              VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (command_id) DO NOTHING`,
        params: [commandId, fingerprint, caller, recordedAt, JSON.stringify(reply), valueEventId],
      },
      { kind: 'all', sql: SELECT, params: [commandId], expectChanges: 1 },
    ]);
    return outcomeOf(stored?.rows[0] ?? {});
  }

  async seal({ eventId, sealedSecret, expiresAt }: SealedValue): Promise<void> {
    this.refuseIfClosed();
    // Anything other than a JWE could be a secret value in plain text.
    if (!sealedValueSchema.safeParse(sealedSecret).success)
      throw new TypeError('Only a sealed value (JWE) can be stored.');
    await this.database.write([
      {
        kind: 'run',
        sql: `INSERT INTO sealed_values (event_id, sealed_secret, expires_at) VALUES (?, ?, ?)
              ON CONFLICT (event_id) DO UPDATE SET sealed_secret = excluded.sealed_secret, expires_at = excluded.expires_at`,
        params: [eventId, sealedSecret, expiresAt],
      },
    ]);
  }

  async sealed(eventId: string, now: Instant): Promise<string | null> {
    this.refuseIfClosed();
    return this.sealedByEvent.get([eventId, now])?.sealed_secret ?? null;
  }

  async purge(recordedBefore: Instant, now: Instant): Promise<void> {
    this.refuseIfClosed();
    await this.database.write([
      { kind: 'run', sql: 'DELETE FROM outcomes WHERE recorded_at < ?', params: [recordedBefore] },
      { kind: 'run', sql: 'DELETE FROM sealed_values WHERE expires_at <= ?', params: [now] },
    ]);
  }

  /** Does not close the database, which is shared. */
  async close(): Promise<void> {
    this.closed = true;
  }

  private refuseIfClosed(): void {
    if (this.closed) throw new EngineUnavailable(ENGINE, { cause: new Error(CLOSED) });
  }
}

const outcomeOf = (row: Row): Outcome => ({
  commandId: String(row['command_id']),
  fingerprint: String(row['fingerprint']),
  caller: String(row['caller']),
  recordedAt: String(row['recorded_at']),
  reply: JSON.parse(String(row['reply'])) as CommandReply,
  ...(typeof row['value_event_id'] === 'string' && { valueEventId: row['value_event_id'] }),
});

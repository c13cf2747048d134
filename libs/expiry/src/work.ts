import { RekeyError, SYSTEM_CALLER, type CommandData, type CommandEnvelope, type ErrorCode } from '@rekey/contracts';
import type { Clock, CommandBus, EventStore, Job, JobOptions, JobRun, Jobs, Notifier } from '@rekey/ports';
import { v5 as uuidV5 } from 'uuid';
import { EXPIRED, dueOf, queueOf, type Due, type NoticeRules, type Watched } from './due';
import { readSecretSnapshot, type SecretKey, type SecretSnapshot } from './secret-snapshot';

/** Name space of message ids and command ids (RFC 9562 §5.5). */
const NAMESPACE = 'c1f3b2a4-62a7-4b5e-8a55-0d6a3c9e7b14';

const COMMAND_TIMEOUT_MS = 10_000;
const CAUSE_LENGTH_MAX = 256;

/** Recording an expiry is only kept from happening by an engine that is away. */
const EXPIRY_TRIES: JobOptions = { attempts: 8, backoffMs: 1_000, backoffMaxMs: 60_000, concurrency: 8 };

/** Ten minutes for a receiver to come back, in tries that are further and further apart. */
export const NOTICE_TRIES: JobOptions = { attempts: 8, backoffMs: 5_000, backoffMaxMs: 300_000, concurrency: 16 };

/** Answers after which the same command may do better; after any other the matter is closed, or is not ours. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'unavailable',
  'timeout',
  'revision_conflict',
  'rate_limited',
  'internal',
]);

export interface WorkLog {
  warn(fields: object, message: string): void;
}

export interface WorkOptions {
  readonly store: EventStore;
  readonly jobs: Jobs;
  readonly bus: CommandBus;
  readonly clock: Clock;
  readonly notifiers: readonly Notifier[];
  /** How a notice is tried; default `NOTICE_TRIES`. */
  readonly noticeTries?: JobOptions;
  readonly log?: WorkLog;
}

/** What a job carries. A job that is made anew has another `madeAt`, and so sends commands with ids of its own. */
export type ExpiryJobData = SecretKey & { readonly version: number; readonly madeAt: string };
export type NoticeJobData = ExpiryJobData & { readonly threshold: number; readonly channel: string };

/** The job for what is due. */
export const jobOf = (value: Watched, due: Due, madeAt: string): Job => {
  const { domainId, applicationId, secretId, version } = value;
  const notice = due.kind === 'notice' ? { threshold: due.threshold, channel: due.channel } : {};
  return {
    id: due.id,
    queue: queueOf(due),
    runAt: due.runAt,
    data: { domainId, applicationId, secretId, version, madeAt, ...notice },
  };
};

/**
 * Does the jobs: each looks at the streams whether it is still to be done, wakes a channel where it is a notice, and
 * sends a command that records what was done. All of it may happen twice: the commands are idempotent, and a notice's
 * message id is always the same.
 */
export class ExpiryWork {
  /** Notices that a channel took and that are not on record yet: they are recorded, not sent again. */
  private readonly handedOver = new Map<string, number>();
  /** Queues whose jobs are taken. */
  private readonly taken = new Set<string>();

  constructor(
    private readonly options: WorkOptions,
    private readonly rules: NoticeRules,
  ) {}

  /** Takes the jobs of all queues; called again after it has thrown, of those that it had not come to. */
  async begin(): Promise<void> {
    const { notifiers, noticeTries = NOTICE_TRIES } = this.options;
    await this.take(queueOf({ kind: 'expiry' }), EXPIRY_TRIES, (run) => this.expire(run.job));
    for (const notifier of notifiers)
      await this.take(queueOf({ kind: 'notice', channel: notifier.channel }), noticeTries, (run) =>
        this.notify(run, notifier),
      );
  }

  private async take(queue: string, tries: JobOptions, handler: (run: JobRun) => Promise<void>): Promise<void> {
    if (this.taken.has(queue)) return;
    await this.options.jobs.process(queue, tries, handler);
    this.taken.add(queue);
  }

  /** Puts on record that a notice was not sent, and will not be. */
  fail(job: Job, cause: string): Promise<void> {
    const { madeAt: _madeAt, ...notice } = job.data as unknown as NoticeJobData;
    return this.send(job, 'RecordNoticeFailed', { ...notice, cause });
  }

  private async expire(job: Job): Promise<void> {
    const { madeAt: _madeAt, ...data } = job.data as unknown as ExpiryJobData;
    const snapshot = await readSecretSnapshot(this.options.store, data);
    if (snapshot && this.isDue(job, snapshot)) await this.send(job, 'ExpireSecret', data);
  }

  private async notify(run: JobRun, notifier: Notifier): Promise<void> {
    const { job } = run;
    const { madeAt: _madeAt, ...notice } = job.data as unknown as NoticeJobData;
    const snapshot = await readSecretSnapshot(this.options.store, notice);
    if (!snapshot) return;
    const { expiresAt } = snapshot.value;
    if (expiresAt === undefined || !this.isDue(job, snapshot)) return this.close(run, notice, snapshot);
    let recipients = this.handedOver.get(job.id);
    if (recipients === undefined) {
      try {
        const { version, threshold } = notice;
        const messageId = uuidV5(job.id, NAMESPACE);
        ({ recipients } = await notifier.send({ ...snapshot.facts, messageId, version, threshold, expiresAt }));
      } catch (error) {
        if (!run.last) throw error;
        return this.fail(job, causeOf(error));
      }
      this.handedOver.set(job.id, recipients);
    }
    await this.send(job, 'RecordNoticeSent', { ...notice, recipients });
    this.handedOver.delete(job.id);
  }

  /** Whether the secret still is what it was when the job was made, so that the job is to be done now. */
  private isDue(job: Job, { value }: SecretSnapshot): boolean {
    const now = this.options.clock.now();
    return dueOf(value, this.rules, now, now).some(({ id }) => id === job.id);
  }

  /**
   * A notice that was tried or asked for again, and whose time is over, is not left in the air: it has failed. Any
   * other that is not due any more needs no word.
   */
  private async close(run: JobRun, notice: Omit<NoticeJobData, 'madeAt'>, { value, noticeState }: SecretSnapshot) {
    const current = value.version === notice.version && value.state !== 'revoked';
    const expired = value.expiresAt !== undefined && this.options.clock.now() >= value.expiresAt;
    const over = expired && notice.threshold !== EXPIRED;
    if (current && !over) return;
    const known = noticeState(notice);
    const tried = current && run.attempt > 1 && known === undefined;
    if (known !== 'retried' && !tried) return;
    const cause = current
      ? 'The secret expired before the notice could be sent.'
      : 'The secret was renewed or revoked.';
    await this.fail(run.job, cause);
  }

  /** Sends a command, the same one in each try of a job. Throws where another try may help. */
  private async send<Type extends 'ExpireSecret' | 'RecordNoticeSent' | 'RecordNoticeFailed'>(
    job: Job,
    type: Type,
    data: CommandData<Type>,
  ): Promise<void> {
    const id = uuidV5(`${job.id}:${job.data['madeAt']}:${type}`, NAMESPACE);
    const command = { id, type, data } as CommandEnvelope;
    const refused = await this.options.bus
      .send({ command, caller: SYSTEM_CALLER, correlationId: id }, COMMAND_TIMEOUT_MS)
      .then(({ error }) => error && new RekeyError(error.code, error.message, error.details))
      .catch((error: unknown) => {
        if (error instanceof RekeyError) return error;
        throw error;
      });
    if (refused && PASSING.has(refused.code)) throw refused;
    if (refused) this.options.log?.warn({ job: job.id, code: refused.code }, 'A command of the watcher was refused');
  }
}

const causeOf = (error: unknown): string =>
  (error instanceof Error ? error.message.slice(0, CAUSE_LENGTH_MAX) : '') || 'The channel gave no cause.';

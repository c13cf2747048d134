import { RekeyError, SYSTEM_CALLER, type CommandData, type CommandEnvelope, type ErrorCode } from '@rekey/contracts';
import type { Clock, CommandBus, EventStore, Job, JobOptions, JobRun, Jobs, Notifier } from '@rekey/ports';
import { v5 as uuidV5 } from 'uuid';
import { EXPIRED, dueJobs, queueOf, type DueJob, type ExpiryFacts, type NoticeRules } from './due';
import { readSecretSnapshot, type SecretKey, type SecretSnapshot } from './secret-snapshot';

/** Name space of message ids and command ids (RFC 9562 §5.5). */
const NAMESPACE = 'c1f3b2a4-62a7-4b5e-8a55-0d6a3c9e7b14';

const COMMAND_TIMEOUT_MS = 10_000;
const CAUSE_LENGTH_MAX = 256;

/** Only an unavailable engine keeps an expiry from being recorded. */
const EXPIRY_RETRIES: JobOptions = { attempts: 8, backoffMs: 1_000, backoffMaxMs: 60_000, concurrency: 8 };

/** Gives a receiver about ten minutes to come back. */
export const NOTICE_RETRIES: JobOptions = { attempts: 8, backoffMs: 5_000, backoffMaxMs: 300_000, concurrency: 16 };

/** Errors that a later attempt with the same command may not get. */
const RETRYABLE: ReadonlySet<ErrorCode> = new Set([
  'unavailable',
  'timeout',
  'revision_conflict',
  'rate_limited',
  'internal',
]);

export interface WatcherLog {
  warn(fields: object, message: string): void;
}

export interface JobHandlersOptions {
  readonly store: EventStore;
  readonly jobs: Jobs;
  readonly bus: CommandBus;
  readonly clock: Clock;
  readonly notifiers: readonly Notifier[];
  /** Retries of a notice. Default `NOTICE_RETRIES`. */
  readonly noticeRetries?: JobOptions;
  readonly log?: WatcherLog;
}

/** Data of a job. Command ids are derived from `madeAt`, so a job that is scheduled anew sends new commands. */
export type ExpiryJobData = SecretKey & { readonly version: number; readonly madeAt: string };
export type NoticeJobData = ExpiryJobData & { readonly threshold: number; readonly channel: string };

/** Returns the job to schedule for a due job. */
export const jobOf = (facts: ExpiryFacts, due: DueJob, madeAt: string): Job => {
  const { domainId, applicationId, secretId, version } = facts;
  const notice = due.kind === 'notice' ? { threshold: due.threshold, channel: due.channel } : {};
  return {
    id: due.id,
    queue: queueOf(due),
    runAt: due.runAt,
    data: { domainId, applicationId, secretId, version, madeAt, ...notice },
  };
};

/**
 * Runs the jobs. Each reads the secret's streams to see whether it is still due, sends the notice if it is one, and sends
 * a command that records the result. A job may run more than once: its commands have the same ids each time, and so has
 * its notice.
 */
export class JobHandlers {
  /** Recipients of sent notices that are not recorded yet, by job id. A retry records them without sending again. */
  private readonly unrecorded = new Map<string, number>();
  private readonly startedQueues = new Set<string>();

  constructor(
    private readonly options: JobHandlersOptions,
    private readonly rules: NoticeRules,
  ) {}

  /** Starts to run the jobs of all queues. Call it again if it throws: it continues with the remaining queues. */
  async start(): Promise<void> {
    const { notifiers, noticeRetries = NOTICE_RETRIES } = this.options;
    await this.process(queueOf({ kind: 'expiry' }), EXPIRY_RETRIES, (run) => this.recordExpiry(run.job));
    for (const notifier of notifiers) {
      const queue = queueOf({ kind: 'notice', channel: notifier.channel });
      await this.process(queue, noticeRetries, (run) => this.sendNotice(run, notifier));
    }
  }

  private async process(queue: string, options: JobOptions, handler: (run: JobRun) => Promise<void>): Promise<void> {
    if (this.startedQueues.has(queue)) return;
    await this.options.jobs.process(queue, options, handler);
    this.startedQueues.add(queue);
  }

  /** Records that a notice was not sent and will not be. */
  recordFailure(job: Job, cause: string): Promise<void> {
    const { madeAt: _madeAt, ...notice } = job.data as unknown as NoticeJobData;
    return this.send(job, 'RecordNoticeFailed', { ...notice, cause });
  }

  private async recordExpiry(job: Job): Promise<void> {
    const { madeAt: _madeAt, ...data } = job.data as unknown as ExpiryJobData;
    const snapshot = await readSecretSnapshot(this.options.store, data);
    if (snapshot && this.isDue(job, snapshot)) await this.send(job, 'ExpireSecret', data);
  }

  private async sendNotice(run: JobRun, notifier: Notifier): Promise<void> {
    const { job } = run;
    const { madeAt: _madeAt, ...notice } = job.data as unknown as NoticeJobData;
    const snapshot = await readSecretSnapshot(this.options.store, notice);
    if (!snapshot) return;
    const { expiresAt } = snapshot.value;
    if (expiresAt === undefined || !this.isDue(job, snapshot)) return this.closeObsolete(run, notice, snapshot);
    let recipients = this.unrecorded.get(job.id);
    if (recipients === undefined) {
      try {
        const { version, threshold } = notice;
        const messageId = uuidV5(job.id, NAMESPACE);
        ({ recipients } = await notifier.send({ ...snapshot.facts, messageId, version, threshold, expiresAt }));
      } catch (error) {
        if (!run.last) throw error;
        return this.recordFailure(job, causeOf(error));
      }
      this.unrecorded.set(job.id, recipients);
    }
    await this.send(job, 'RecordNoticeSent', { ...notice, recipients });
    this.unrecorded.delete(job.id);
  }

  private isDue(job: Job, { value }: SecretSnapshot): boolean {
    const now = this.options.clock.now();
    return dueJobs(value, this.rules, now, now).some(({ id }) => id === job.id);
  }

  /**
   * Records a failure for a notice that is no longer due, if an operator retried it or an attempt to send it has failed:
   * they must not wait for it forever. Any other such notice is dropped.
   */
  private async closeObsolete(
    run: JobRun,
    notice: Omit<NoticeJobData, 'madeAt'>,
    { value, noticeState }: SecretSnapshot,
  ): Promise<void> {
    const isCurrent = value.version === notice.version && value.state !== 'revoked';
    const hasExpired = value.expiresAt !== undefined && this.options.clock.now() >= value.expiresAt;
    // A suspended or disabled secret may become active again before it expires: its notice waits.
    if (isCurrent && !(hasExpired && notice.threshold !== EXPIRED)) return;
    const recorded = noticeState(notice);
    const hasFailedAttempt = isCurrent && run.attempt > 1 && recorded === undefined;
    if (recorded !== 'retried' && !hasFailedAttempt) return;
    const cause = isCurrent
      ? 'The secret expired before the notice could be sent.'
      : 'The secret was renewed or revoked.';
    await this.recordFailure(run.job, cause);
  }

  /** Sends a command, with the same id for each attempt of a job. Throws if another attempt may succeed. */
  private async send<Type extends 'ExpireSecret' | 'RecordNoticeSent' | 'RecordNoticeFailed'>(
    job: Job,
    type: Type,
    data: CommandData<Type>,
  ): Promise<void> {
    const id = uuidV5(`${job.id}:${job.data['madeAt']}:${type}`, NAMESPACE);
    const command = { id, type, data } as CommandEnvelope;
    const rejection = await this.options.bus
      .send({ command, caller: SYSTEM_CALLER, correlationId: id }, COMMAND_TIMEOUT_MS)
      .then(({ error }) => error && new RekeyError(error.code, error.message, error.details))
      .catch((error: unknown) => {
        if (error instanceof RekeyError) return error;
        throw error;
      });
    if (!rejection) return;
    if (RETRYABLE.has(rejection.code)) throw rejection;
    this.options.log?.warn({ job: job.id, code: rejection.code }, `${type} of the expiry watcher was rejected`);
  }
}

const causeOf = (error: unknown): string =>
  (error instanceof Error ? error.message.slice(0, CAUSE_LENGTH_MAX) : '') || 'The channel gave no cause.';

import type { EventStore, JobCounts, Position, Clock } from '@rekey/ports';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { RequestTimes } from './request-times';

/** How a view stands, for its two gauges. */
export interface ViewProgress {
  readonly ready: boolean;
  /** Age of the oldest event that the view has not taken in; undefined where that is not known. */
  readonly lagSeconds: number | undefined;
}

/** How the build that answers for a view stands, as those who keep it see it. */
export interface ProjectionProgress {
  readonly view: string;
  readonly ready: boolean;
  readonly lagSeconds: number;
  readonly parkedStreams: number;
}

/**
 * What is counted and measured, in a registry of its own. Labels are names from our own tables; never the id of a
 * client, an application or a domain, of which there is no end.
 */
export class Metrics {
  private readonly registry = new Registry();
  private readonly requestTimes = new RequestTimes();
  private readonly checks = new Map<string, number>();
  private readonly views = new Map<string, () => Promise<ViewProgress>>();
  private readonly queues = new Map<string, () => Promise<JobCounts>>();
  private readonly projections = new Map<string, () => Promise<readonly ProjectionProgress[]>>();
  private readonly publishers = new Map<string, () => Promise<number | undefined>>();

  private readonly commands = new Counter({
    name: 'rekey_commands_total',
    help: 'Commands that got their outcome: accepted, replayed, or the code of the refusal.',
    labelNames: ['type', 'outcome'],
    registers: [this.registry],
  });

  private readonly hashTimes = new Histogram({
    name: 'rekey_hash_duration_seconds',
    help: 'Time to compute an Argon2 hash, waiting for a thread included.',
    labelNames: ['operation'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
    registers: [this.registry],
  });

  private readonly notices = new Counter({
    name: 'rekey_notices_total',
    help: 'Tries to tell of an expiry, by channel and what became of them.',
    labelNames: ['channel', 'outcome'],
    registers: [this.registry],
  });

  private readonly poisonEvents = new Counter({
    name: 'rekey_poison_events_total',
    help: 'Events that a view could not take in.',
    labelNames: ['view'],
    registers: [this.registry],
  });

  private readonly checksTotal = new Counter({
    name: 'rekey_checks_total',
    help: 'Authentication checks: valid, or the cause of the refusal.',
    labelNames: ['outcome'],
    registers: [this.registry],
  });

  private readonly viewReady = new Gauge({
    name: 'rekey_view_ready',
    help: '1 where a view may answer.',
    labelNames: ['view'],
    registers: [this.registry],
  });

  private readonly viewLag = new Gauge({
    name: 'rekey_view_lag_seconds',
    help: 'Age of the oldest event that a view has not taken in; 0 where it has them all.',
    labelNames: ['view'],
    registers: [this.registry],
  });

  private readonly parkedStreams = new Gauge({
    name: 'rekey_parked_streams',
    help: 'Streams whose events wait, for the build that answers for a view could not take one of them in.',
    labelNames: ['view'],
    registers: [this.registry],
  });

  private readonly publisherLag = new Gauge({
    name: 'rekey_publisher_lag_seconds',
    help: 'Age of the oldest event that the world outside was not told of; 0 where it was told of them all.',
    labelNames: ['publisher'],
    registers: [this.registry],
  });

  private readonly jobs = new Gauge({
    name: 'rekey_jobs',
    help: 'Jobs by queue and state; dead ones failed for good and wait for somebody to look.',
    labelNames: ['queue', 'state'],
    registers: [this.registry],
  });

  private readonly deadLetters = new Counter({
    name: 'rekey_dead_letters_total',
    help: 'Records among the commands that went to the dead letters, by reason.',
    labelNames: ['reason'],
    registers: [this.registry],
  });

  private readonly lostReplies = new Counter({
    name: 'rekey_replies_undeliverable_total',
    help: 'Commands that were done and whose reply could not be stored where their sender wants it.',
    registers: [this.registry],
  });

  private readonly commandsRefused = new Counter({
    name: 'rekey_commands_refused_total',
    help: 'Commands that were refused before they were looked at, by code: no right token, no right.',
    labelNames: ['code'],
    registers: [this.registry],
  });

  private readonly commandsWaiting = new Counter({
    name: 'rekey_commands_waited_total',
    help: 'Commands that had to wait in their topic because a store was away.',
    registers: [this.registry],
  });

  private readonly consumerRestarts = new Counter({
    name: 'rekey_consumer_restarts_total',
    help: 'Consumers of Kafka that had ended for good and were replaced.',
    labelNames: ['consumer'],
    registers: [this.registry],
  });

  readonly contentType = this.registry.contentType;

  /** `processMetrics: false` leaves out those of the process, which are the same in every part of it. */
  constructor({ processMetrics = true }: { readonly processMetrics?: boolean } = {}) {
    if (processMetrics) collectDefaultMetrics({ register: this.registry });
  }

  /** A command got its outcome: `accepted`, `replayed` or an error code. */
  commandHandled(type: string, outcome: string): void {
    this.commands.inc({ type, outcome });
  }

  /** A check was answered: `valid`, or the cause of its refusal. */
  checked(outcome: string): void {
    this.checks.set(outcome, (this.checks.get(outcome) ?? 0) + 1);
  }

  /** A hash was computed, for a new verifier or to compare with one. */
  hashed(operation: 'hash' | 'verify', elapsedMs: number): void {
    this.hashTimes.observe({ operation }, elapsedMs / 1_000);
  }

  /** A notice was handed over, or not. */
  noticeSent(channel: string, outcome: 'sent' | 'failed' | 'dead'): void {
    this.notices.inc({ channel, outcome });
  }

  /** A view could not take an event in. */
  poisonEvent(view: string): void {
    this.poisonEvents.inc({ view });
  }

  /** A record went to the dead letters. */
  deadLettered(reason: string): void {
    this.deadLetters.inc({ reason });
  }

  /** A reply found no place. */
  replyUndeliverable(): void {
    this.lostReplies.inc();
  }

  /** A command was refused without an outcome. */
  commandRefused(code: string): void {
    this.commandsRefused.inc({ code });
  }

  /** A command waits for a store that is away. */
  commandWaits(): void {
    this.commandsWaiting.inc();
  }

  /** A consumer had to be replaced. */
  consumerRestarted(consumer: string): void {
    this.consumerRestarts.inc({ consumer });
  }

  /** A request was answered. `route` is the pattern, never the path. */
  httpRequest(method: string, route: string, status: number, elapsedMs: number): void {
    this.requestTimes.count(method, route, status, elapsedMs);
  }

  /** Asks for a view's progress whenever metrics are read. */
  watchView(view: string, progress: () => Promise<ViewProgress> | ViewProgress): void {
    this.views.set(view, async () => progress());
  }

  /** Asks who keeps the views how they stand, whenever metrics are read; who reads a view in this process knows better. */
  watchProjections(progress: () => Promise<readonly ProjectionProgress[]>): void {
    this.projections.set('all', progress);
  }

  /** Asks how far a publisher lies behind whenever metrics are read; undefined: not known. */
  watchPublisher(publisher: string, lagSeconds: () => Promise<number | undefined>): void {
    this.publishers.set(publisher, lagSeconds);
  }

  /** Asks for a queue's jobs whenever metrics are read. */
  watchJobs(queue: string, counts: () => Promise<JobCounts>): void {
    this.queues.set(queue, counts);
  }

  /** Everything in the text format of Prometheus; what cannot be asked just now is left out. */
  async text(): Promise<string> {
    this.checksTotal.reset();
    for (const [outcome, count] of this.checks) this.checksTotal.inc({ outcome }, count);
    await Promise.all([this.askViews(), this.askPublishers(), this.askQueues()]);
    return `${await this.registry.metrics()}\n${this.requestTimes.text()}`;
  }

  private async askViews(): Promise<void> {
    const [answers, projections] = await Promise.all([askAll(this.views), askAll(this.projections)]);
    for (const gauge of [this.viewReady, this.viewLag, this.parkedStreams]) gauge.reset();
    for (const { view, ready, lagSeconds: lag, parkedStreams } of projections.flatMap(([, found]) => found)) {
      this.viewReady.set({ view }, ready ? 1 : 0);
      this.viewLag.set({ view }, lag);
      this.parkedStreams.set({ view }, parkedStreams);
    }
    for (const [view, { ready, lagSeconds: lag }] of answers) {
      this.viewReady.set({ view }, ready ? 1 : 0);
      if (lag !== undefined) this.viewLag.set({ view }, lag);
    }
  }

  private async askPublishers(): Promise<void> {
    const answers = await askAll(this.publishers);
    this.publisherLag.reset();
    for (const [publisher, lag] of answers) if (lag !== undefined) this.publisherLag.set({ publisher }, lag);
  }

  private async askQueues(): Promise<void> {
    const answers = await askAll(this.queues);
    this.jobs.reset();
    for (const [queue, counts] of answers)
      for (const state of ['waiting', 'running', 'dead'] as const) this.jobs.set({ queue, state }, counts[state]);
  }
}

/** What all can tell now; who cannot is left out. */
const askAll = async <T>(sources: ReadonlyMap<string, () => Promise<T>>): Promise<[string, T][]> => {
  const names = [...sources.keys()];
  const answers = await Promise.allSettled([...sources.values()].map((ask) => ask()));
  return answers.flatMap((answer, index) =>
    answer.status === 'fulfilled' ? [[names[index] ?? '', answer.value] satisfies [string, T]] : [],
  );
};

/**
 * Age of the oldest event behind a checkpoint, in seconds; 0 where there is none, which is asked first: to find the next
 * event, a store may have to search what others keep in it. Throws `EngineUnavailable`.
 */
export const lagSeconds = async (
  store: Pick<EventStore, 'head' | 'readFeed'>,
  checkpoint: Position,
  clock: Pick<Clock, 'nowMs'>,
): Promise<number> => {
  if ((await store.head()) <= checkpoint) return 0;
  const [next] = await store.readFeed({ after: checkpoint, limit: 1 });
  return next ? Math.max(0, clock.nowMs() - Date.parse(next.metadata.occurredAt)) / 1_000 : 0;
};

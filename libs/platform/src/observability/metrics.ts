import type { EventStore, JobCounts, Position, Clock } from '@rekey/ports';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { RequestTimes } from './request-times';

/** Progress of a view, for its gauges. */
export interface ViewProgress {
  readonly ready: boolean;
  /** Age of the oldest event that the view has not applied; undefined if unknown. */
  readonly lagSeconds: number | undefined;
}

/** Progress of a view's active build, as its projector sees it. */
export interface ProjectionProgress {
  readonly view: string;
  readonly ready: boolean;
  readonly lagSeconds: number;
  readonly parkedStreams: number;
}

/**
 * The metrics of a process, in a registry of its own. Labels have bounded sets of values: never the id of a client, an
 * application or a domain.
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
    help: 'Commands handled, by type and outcome: accepted, unchanged, replayed or an error code.',
    labelNames: ['type', 'outcome'],
    registers: [this.registry],
  });

  private readonly hashTimes = new Histogram({
    name: 'rekey_hash_duration_seconds',
    help: 'Time to compute an Argon2 hash, including the wait for a thread.',
    labelNames: ['operation'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
    registers: [this.registry],
  });

  private readonly notices = new Counter({
    name: 'rekey_notices_total',
    help: 'Attempts to send an expiry notice, by channel and outcome.',
    labelNames: ['channel', 'outcome'],
    registers: [this.registry],
  });

  private readonly poisonEvents = new Counter({
    name: 'rekey_poison_events_total',
    help: 'Events that a view could not apply.',
    labelNames: ['view'],
    registers: [this.registry],
  });

  private readonly checksTotal = new Counter({
    name: 'rekey_checks_total',
    help: 'Authentication checks, by outcome: valid, or why the check failed.',
    labelNames: ['outcome'],
    registers: [this.registry],
  });

  private readonly viewReady = new Gauge({
    name: 'rekey_view_ready',
    help: '1 if the view can be read, else 0.',
    labelNames: ['view'],
    registers: [this.registry],
  });

  private readonly viewLag = new Gauge({
    name: 'rekey_view_lag_seconds',
    help: 'Age of the oldest event that the view has not applied; 0 if it has applied all.',
    labelNames: ['view'],
    registers: [this.registry],
  });

  private readonly parkedStreams = new Gauge({
    name: 'rekey_parked_streams',
    help: 'Parked streams: the active build of the view could not apply one of their events.',
    labelNames: ['view'],
    registers: [this.registry],
  });

  private readonly publisherLag = new Gauge({
    name: 'rekey_publisher_lag_seconds',
    help: 'Age of the oldest event that was not published; 0 if all were.',
    labelNames: ['publisher'],
    registers: [this.registry],
  });

  private readonly jobs = new Gauge({
    name: 'rekey_jobs',
    help: 'Jobs, by queue and state. Dead jobs have failed for good and are kept until they are removed.',
    labelNames: ['queue', 'state'],
    registers: [this.registry],
  });

  private readonly deadLetters = new Counter({
    name: 'rekey_dead_letters_total',
    help: 'Records of the command topic that were moved to the dead letter topic, by reason.',
    labelNames: ['reason'],
    registers: [this.registry],
  });

  private readonly lostReplies = new Counter({
    name: 'rekey_replies_undeliverable_total',
    help: 'Replies that could not be written to the reply topic that the sender named.',
    registers: [this.registry],
  });

  private readonly commandsRefused = new Counter({
    name: 'rekey_commands_refused_total',
    help: 'Commands rejected before processing, by code (unauthenticated, forbidden).',
    labelNames: ['code'],
    registers: [this.registry],
  });

  private readonly commandsWaiting = new Counter({
    name: 'rekey_commands_waited_total',
    help: 'Retries of commands whose store was unavailable.',
    registers: [this.registry],
  });

  private readonly consumerRestarts = new Counter({
    name: 'rekey_consumer_restarts_total',
    help: 'Kafka consumers that had stopped for good and were replaced.',
    labelNames: ['consumer'],
    registers: [this.registry],
  });

  readonly contentType = this.registry.contentType;

  /** `processMetrics: false` leaves out Node's own metrics: only one registry per process may have them. */
  constructor({ processMetrics = true }: { readonly processMetrics?: boolean } = {}) {
    if (processMetrics) collectDefaultMetrics({ register: this.registry });
  }

  /** Counts a handled command by its outcome: `accepted`, `unchanged`, `replayed` or an error code. */
  commandHandled(type: string, outcome: string): void {
    this.commands.inc({ type, outcome });
  }

  /** Counts an authentication check by its outcome: `valid`, or why it failed. */
  checked(outcome: string): void {
    this.checks.set(outcome, (this.checks.get(outcome) ?? 0) + 1);
  }

  /** Measures the time of a hash. */
  hashed(operation: 'hash' | 'verify', elapsedMs: number): void {
    this.hashTimes.observe({ operation }, elapsedMs / 1_000);
  }

  /** Counts an attempt to send a notice. */
  noticeSent(channel: string, outcome: 'sent' | 'failed' | 'dead'): void {
    this.notices.inc({ channel, outcome });
  }

  /** Counts an event that a view could not apply. */
  poisonEvent(view: string): void {
    this.poisonEvents.inc({ view });
  }

  /** Counts a record that was moved to the dead letter topic. */
  deadLettered(reason: string): void {
    this.deadLetters.inc({ reason });
  }

  /** Counts a reply that could not be written. */
  replyUndeliverable(): void {
    this.lostReplies.inc();
  }

  /** Counts a command that was rejected before processing. */
  commandRefused(code: string): void {
    this.commandsRefused.inc({ code });
  }

  /** Counts a retry of a command whose store is unavailable. */
  commandWaits(): void {
    this.commandsWaiting.inc();
  }

  /** Counts a consumer that was replaced. */
  consumerRestarted(consumer: string): void {
    this.consumerRestarts.inc({ consumer });
  }

  /** Measures a request. `route` is the pattern of the route, never the path. */
  httpRequest(method: string, route: string, status: number, elapsedMs: number): void {
    this.requestTimes.count(method, route, status, elapsedMs);
  }

  /** Reports a view's progress whenever metrics are read. */
  watchView(view: string, progress: () => Promise<ViewProgress> | ViewProgress): void {
    this.views.set(view, async () => progress());
  }

  /** Reports the progress of projections whenever metrics are read. `watchView` takes precedence for its view. */
  watchProjections(progress: () => Promise<readonly ProjectionProgress[]>): void {
    this.projections.set('all', progress);
  }

  /** Reports how far a publisher is behind whenever metrics are read; undefined if unknown. */
  watchPublisher(publisher: string, lagSeconds: () => Promise<number | undefined>): void {
    this.publishers.set(publisher, lagSeconds);
  }

  /** Reports a queue's jobs whenever metrics are read. */
  watchJobs(queue: string, counts: () => Promise<JobCounts>): void {
    this.queues.set(queue, counts);
  }

  /** Returns all metrics in the text format of Prometheus. Leaves out gauges whose source fails. */
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

/** Returns the answers of all sources that do not fail. */
const askAll = async <T>(sources: ReadonlyMap<string, () => Promise<T>>): Promise<[string, T][]> => {
  const names = [...sources.keys()];
  const answers = await Promise.allSettled([...sources.values()].map((ask) => ask()));
  return answers.flatMap((answer, index) =>
    answer.status === 'fulfilled' ? [[names[index] ?? '', answer.value] satisfies [string, T]] : [],
  );
};

/**
 * Returns the age of the oldest event after a checkpoint, in seconds; 0 if there is none. Reads the head first, because
 * reading the next event may make the store search through other streams. Throws `EngineUnavailable`.
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

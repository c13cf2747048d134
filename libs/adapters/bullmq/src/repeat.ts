import type { Queue } from 'bullmq';
import type { ReportFailure } from './redis-link';
import { Taking, type TakingOptions } from './taking';
import type { NextTick } from '@rekey/ports';

/** The one schedule of its queue. */
const SCHEDULE = 'ticks';
/** How often it is looked whether Redis still has the schedule. */
const LOOK_MS = 10_000;

export interface RepeatOptions extends TakingOptions {
  readonly report: ReportFailure;
  readonly name: string;
  readonly cronExpression: string;
  readonly timezone: string;
  readonly nextTick: NextTick;
  /** The engine's queue; it must know the same ticks. */
  readonly queue: () => Queue;
  readonly handler: () => Promise<void>;
}

/**
 * A repeated job. Its queue holds the next tick, which a worker takes when it is due, putting the one after it in its
 * place; so of the ticks that nobody took there is one. The queue lets one process at a time work on it.
 */
export class Repeat {
  private looking: NodeJS.Timeout | undefined;
  private lastTick: string | undefined;
  private running: Promise<void> = Promise.resolve();
  taking: Taking<unknown> | undefined;

  constructor(private readonly options: RepeatOptions) {}

  /** Puts the schedule where it is not, or is another one, and begins. Throws `EngineUnavailable`. */
  async begin(): Promise<void> {
    const { name, link, nextTick, closing } = this.options;
    await this.establish('this one');
    if (closing.aborted) return;
    this.taking = new Taking(this.options.queue().name, ({ id }) => this.tick(id), this.options, {
      concurrency: 1,
      removeOnFail: { count: 0 },
      settings: { repeatStrategy: nextTick },
    });
    this.taking.on('error', (error) => link.tell(error, { repeat: name }, 'A repeated job cannot be run.'));
    // A Redis that lost its data has lost the schedule as well.
    this.looking = setInterval(() => {
      this.establish('any').catch((error: unknown) =>
        link.tell(error, { repeat: name }, 'A repeated job may not be scheduled.'),
      );
    }, LOOK_MS);
    this.looking.unref();
  }

  end(): void {
    clearInterval(this.looking);
  }

  /** Resolves when the handler does not run. */
  idle(): Promise<void> {
    return this.running;
  }

  /**
   * `any`: a schedule that is there is left, for while versions are changed there may be processes with another one.
   * Nothing is put in place of the same schedule: its next tick may be one that nobody took.
   */
  private async establish(wanted: 'any' | 'this one'): Promise<void> {
    const { cronExpression: pattern, timezone: tz, link, queue } = this.options;
    await link.run(async () => {
      await queue().setGlobalConcurrency(1);
      const known = await queue().getJobScheduler(SCHEDULE);
      if (known && (wanted === 'any' || (known.pattern === pattern && known.tz === tz))) return;
      await queue().upsertJobScheduler(SCHEDULE, { pattern, tz }, { name: SCHEDULE, opts: { stackTraceLimit: 0 } });
    });
  }

  private async tick(id: string | undefined): Promise<void> {
    // The tick was lost to this process, for Redis was away for too long, and comes to it again.
    if (id === this.lastTick) return;
    this.lastTick = id;
    const { handler, name, report } = this.options;
    this.running = (async () => handler())().catch((error: unknown) =>
      report({ err: error, repeat: name }, 'A repeated job failed.'),
    );
    await this.running;
  }
}

import type { AllStreamRecordedEvent, AllStreamSubscription } from '@eventstore/db-client';
import { type CallTimeout, cancelQuietly } from './client-calls';

export interface PulledBatch {
  readonly events: readonly AllStreamRecordedEvent[];
  readonly caughtUp: boolean;
}

/**
 * Pulls events from one subscription of the client. Events that are not pulled stay on the server, by the flow control of
 * the connection. The subscription ends when the server drops it, the connection breaks, it is not confirmed in time, or
 * `leave` is called.
 */
export class PullSubscription {
  private over = false;
  /** The server has reported that the subscription has caught up; events sent before that may still be buffered. */
  private isLive = false;
  private signalled = false;
  private wake: (() => void) | undefined;
  private readonly confirmed: () => void;

  constructor(
    private readonly subscription: AllStreamSubscription,
    private readonly ended: AbortSignal,
    { clock, ms }: CallTimeout,
  ) {
    this.confirmed = clock.schedule(ms, this.end);
    subscription.on('confirmation', this.confirmed);
    subscription.on('caughtUp', () => {
      this.isLive = true;
      this.signal();
    });
    // Servers later than 23.10 send a slow subscriber back to catching up and say so.
    subscription.on('fellBehind', () => (this.isLive = false));
    subscription.on('readable', this.signal);
    subscription.on('error', this.end);
    subscription.on('end', this.end);
    ended.addEventListener('abort', this.signal);
  }

  /**
   * Waits for at least one event and returns at most `max`. With `orCaughtUp` it also returns, without events, once the
   * subscription has caught up. Returns undefined when the subscription has ended; events not pulled by then must be
   * requested again.
   */
  async next(max: number, orCaughtUp: boolean): Promise<PulledBatch | undefined> {
    while (!this.over && !this.ended.aborted) {
      this.signalled = false;
      const events = this.pull(max);
      const caughtUp = this.isLive && this.subscription.readableLength === 0;
      if (events.length > 0 || (caughtUp && orCaughtUp)) return { events, caughtUp };
      await this.signalOrEnd();
    }
    return undefined;
  }

  leave(): void {
    this.over = true;
    this.confirmed();
    this.ended.removeEventListener('abort', this.signal);
    cancelQuietly(this.subscription, () => this.subscription.unsubscribe());
  }

  private pull(max: number): AllStreamRecordedEvent[] {
    const events: AllStreamRecordedEvent[] = [];
    while (events.length < max) {
      const resolved = this.subscription.read() as { event?: AllStreamRecordedEvent } | null;
      if (!resolved) break;
      if (resolved.event) events.push(resolved.event);
    }
    return events;
  }

  private readonly end = (): void => {
    this.over = true;
    this.signal();
  };

  private readonly signal = (): void => {
    this.signalled = true;
    this.wake?.();
  };

  private signalOrEnd(): Promise<void> {
    if (this.signalled || this.ended.aborted) return Promise.resolve();
    return new Promise((resolve) => (this.wake = resolve));
  }
}

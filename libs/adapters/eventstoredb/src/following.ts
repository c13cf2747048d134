import type { AllStreamRecordedEvent, AllStreamSubscription } from '@eventstore/db-client';
import { type Patience, release } from './reading';

export interface Taken {
  readonly events: readonly AllStreamRecordedEvent[];
  readonly caughtUp: boolean;
}

/**
 * One subscription of the client, pulled from: what nobody asks for stays with the server, by the flow control of the
 * connection. It ends when the server drops it, the connection breaks, it is not confirmed in time, or it is left.
 */
export class Following {
  private over = false;
  /** The server has said that this is all there is, behind events that may not have been taken yet. */
  private isLive = false;
  private rang = false;
  private wake: (() => void) | undefined;
  private readonly confirmed: () => void;

  constructor(
    private readonly subscription: AllStreamSubscription,
    private readonly ended: AbortSignal,
    { clock, ms }: Patience,
  ) {
    this.confirmed = clock.schedule(ms, this.end);
    subscription.on('confirmation', this.confirmed);
    subscription.on('caughtUp', () => {
      this.isLive = true;
      this.ring();
    });
    // Servers of later versions than the measured one turn a slow subscriber back to catching up, and say so.
    subscription.on('fellBehind', () => (this.isLive = false));
    subscription.on('readable', this.ring);
    subscription.on('error', this.end);
    subscription.on('end', this.end);
    ended.addEventListener('abort', this.ring);
  }

  /**
   * At least one event, or the news of having caught up where it is `news` to the caller; at most `max` events.
   * Undefined where the subscription has ended: what it brought and nobody took is to be asked for again.
   */
  async next(max: number, news: boolean): Promise<Taken | undefined> {
    while (!this.over && !this.ended.aborted) {
      this.rang = false;
      const events = this.take(max);
      const caughtUp = this.isLive && this.subscription.readableLength === 0;
      if (events.length > 0 || (caughtUp && news)) return { events, caughtUp };
      await this.rung();
    }
    return undefined;
  }

  leave(): void {
    this.over = true;
    this.confirmed();
    this.ended.removeEventListener('abort', this.ring);
    release(this.subscription, () => this.subscription.unsubscribe());
  }

  private take(max: number): AllStreamRecordedEvent[] {
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
    this.ring();
  };

  private readonly ring = (): void => {
    this.rang = true;
    this.wake?.();
  };

  private rung(): Promise<void> {
    if (this.rang || this.ended.aborted) return Promise.resolve();
    return new Promise((resolve) => (this.wake = resolve));
  }
}

import type { AllStreamRecordedEvent, AllStreamSubscription } from '@eventstore/db-client';
import { TimedOut } from './failures';
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
  /** Why the subscription ended by itself, where something was said. */
  failure: unknown;
  private over = false;
  private taken = 0;
  /** The server says so behind that many events, which may not have been taken yet. */
  private caughtUpBehind: number | undefined;
  private rang = false;
  private wake: (() => void) | undefined;
  private readonly confirmed: () => void;

  constructor(
    private readonly subscription: AllStreamSubscription,
    private readonly ended: AbortSignal,
    { clock, ms }: Patience,
  ) {
    this.confirmed = clock.schedule(ms, () => this.end(new TimedOut(ms)));
    subscription.on('confirmation', this.confirmed);
    subscription.on('caughtUp', () => {
      this.caughtUpBehind = this.taken + subscription.readableLength;
      this.ring();
    });
    // Servers of later versions than the measured one turn a slow subscriber back to catching up, and say so.
    subscription.on('fellBehind', () => (this.caughtUpBehind = undefined));
    subscription.on('readable', this.ring);
    subscription.on('error', this.end);
    subscription.on('end', () => this.end(undefined));
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
      const caughtUp = this.caughtUpBehind !== undefined && this.taken >= this.caughtUpBehind && !this.hasMore();
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
      this.taken++;
      if (resolved.event) events.push(resolved.event);
    }
    return events;
  }

  private hasMore(): boolean {
    return this.subscription.readableLength > 0;
  }

  private readonly end = (failure: unknown): void => {
    this.failure ??= failure;
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

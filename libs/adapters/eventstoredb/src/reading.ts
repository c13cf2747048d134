import type { AllStreamRecordedEvent, AllStreamSubscription, StreamingRead } from '@eventstore/db-client';
import type { Clock } from '@rekey/ports';
import { TimedOut } from './failures';

/** The clock, and how long to wait for an answer, or for the next step of one. */
export interface Patience {
  readonly clock: Clock;
  readonly ms: number;
}

/** A call's answer, or `TimedOut`. What a late answer says is heard by nobody. */
export const answered = <T>(call: Promise<T>, { clock, ms }: Patience): Promise<T> =>
  new Promise((resolve, reject) => {
    const cancel = clock.schedule(ms, () => reject(new TimedOut(ms)));
    call.finally(cancel).then(resolve, reject);
  });

/**
 * Hands what a read brings to `take` until there is nothing more or `take` answers false. Throws what the read throws,
 * and `TimedOut` where nothing comes for a while: the client itself waits as long as the connection stands.
 */
export const readThrough = <E>(
  read: StreamingRead<E>,
  take: (event: E) => boolean,
  patience: Patience,
): Promise<void> =>
  new Promise((resolve, reject) => {
    const leave = (settle: () => void): void => {
      watch.stop();
      read.off('data', onData);
      settle();
      release(read, () => read.cancel());
    };
    const watch = new Watch(patience, (late) => leave(() => reject(late)));
    const onData = (event: E): void => {
      watch.stir();
      try {
        if (!take(event)) leave(resolve);
      } catch (error) {
        leave(() => reject(error));
      }
    };
    read.on('error', (error) => {
      watch.stop();
      reject(error);
    });
    read.on('end', () => {
      watch.stop();
      resolve();
    });
    read.on('data', onData);
  });

/**
 * Hands what a subscription brings to `take` until the server has said that this is all there is, or `take` answers
 * false; then ends it. `subscribe` is given what to call whenever the server tells how far it has looked. Throws what the
 * subscription throws, and `TimedOut` where neither an event nor such news comes for a while; also by the signal.
 */
export const followToEnd = (
  subscribe: (looked: () => void) => AllStreamSubscription,
  take: (event: AllStreamRecordedEvent) => boolean,
  patience: Patience,
  signal?: AbortSignal,
): Promise<void> =>
  new Promise((resolve, reject) => {
    let isLive = false;
    const leave = (settle: () => void): void => {
      watch.stop();
      signal?.removeEventListener('abort', giveUp);
      subscription.off('data', onData);
      settle();
      release(subscription, () => subscription.unsubscribe());
    };
    const giveUp = (): void => leave(() => reject(new Error('Nobody waits for it any more.')));
    const watch = new Watch(patience, (late) => leave(() => reject(late)));
    const subscription = subscribe(() => watch.stir());
    // The server's word runs ahead of events that wait to be handed out.
    const isAll = (): boolean => isLive && subscription.readableLength === 0;
    const onData = ({ event }: { event?: AllStreamRecordedEvent }): void => {
      watch.stir();
      try {
        if ((event && !take(event)) || isAll()) leave(resolve);
      } catch (error) {
        leave(() => reject(error));
      }
    };
    subscription.on('caughtUp', () => {
      isLive = true;
      if (isAll()) leave(resolve);
    });
    // A server that turns a subscriber back says later again that it has caught up.
    subscription.on('fellBehind', () => (isLive = false));
    const fail = (error: Error): void => {
      watch.stop();
      signal?.removeEventListener('abort', giveUp);
      reject(error);
    };
    subscription.on('error', fail);
    subscription.on('end', () => fail(new Error('The subscription ended before it had caught up.')));
    subscription.on('data', onData);
    signal?.addEventListener('abort', giveUp);
    if (signal?.aborted) giveUp();
  });

/** Tells, once, where nothing has stirred for as long as one is to wait. */
class Watch {
  private stirred = false;
  /** Ends it. */
  stop: () => void = () => undefined;

  constructor(
    private readonly patience: Patience,
    private readonly late: (error: TimedOut) => void,
  ) {
    this.begin();
  }

  stir(): void {
    this.stirred = true;
  }

  private begin(): void {
    const { clock, ms } = this.patience;
    this.stop = clock.schedule(ms, () => {
      if (!this.stirred) return this.late(new TimedOut(ms));
      this.stirred = false;
      this.begin();
    });
  }
}

/**
 * Ends the call behind a stream of the client. An error that arrives meanwhile, or a connection that never came about,
 * would end the process if nobody listened.
 */
export const release = (stream: NodeJS.EventEmitter, cancel: () => Promise<void>): void => {
  stream.on('error', () => undefined);
  cancel().catch(() => undefined);
};

import type { AllStreamRecordedEvent, AllStreamSubscription, StreamingRead } from '@eventstore/db-client';
import type { Clock } from '@rekey/ports';
import { TimedOut } from './failures';

/** Time limit for the answer to a call, or for the next message of a stream. */
export interface CallTimeout {
  readonly clock: Clock;
  readonly ms: number;
}

/** Settles as the call does, or rejects with `TimedOut`. The call itself goes on; its late result is ignored. */
export const withTimeout = <T>(call: Promise<T>, { clock, ms }: CallTimeout): Promise<T> =>
  new Promise((resolve, reject) => {
    const cancel = clock.schedule(ms, () => reject(new TimedOut(ms)));
    call.finally(cancel).then(resolve, reject);
  });

/**
 * Passes the events of a read to `take` until the read ends or `take` returns false. Throws what the read throws, and
 * `TimedOut` if no event arrives in time: the client itself waits as long as the connection is open.
 */
export const readEach = <E>(read: StreamingRead<E>, take: (event: E) => boolean, timeout: CallTimeout): Promise<void> =>
  new Promise((resolve, reject) => {
    const leave = (settle: () => void): void => {
      idle.stop();
      read.off('data', onData);
      settle();
      cancelQuietly(read, () => read.cancel());
    };
    const idle = new IdleTimer(timeout, (error) => leave(() => reject(error)));
    const onData = (event: E): void => {
      idle.reset();
      try {
        if (!take(event)) leave(resolve);
      } catch (error) {
        leave(() => reject(error));
      }
    };
    read.on('error', (error) => {
      idle.stop();
      reject(error);
    });
    read.on('end', () => {
      idle.stop();
      resolve();
    });
    read.on('data', onData);
  });

/**
 * Passes the events of a subscription to `take` until the subscription has caught up or `take` returns false, and then
 * ends it. `subscribe` receives a callback to call for every checkpoint. Throws what the subscription throws, `TimedOut`
 * if neither an event nor a checkpoint arrives in time, and an error when the signal is aborted.
 */
export const subscribeUntilCaughtUp = (
  subscribe: (onCheckpoint: () => void) => AllStreamSubscription,
  take: (event: AllStreamRecordedEvent) => boolean,
  timeout: CallTimeout,
  signal?: AbortSignal,
): Promise<void> =>
  new Promise((resolve, reject) => {
    let isLive = false;
    const leave = (settle: () => void): void => {
      idle.stop();
      signal?.removeEventListener('abort', onAbort);
      subscription.off('data', onData);
      settle();
      cancelQuietly(subscription, () => subscription.unsubscribe());
    };
    const onAbort = (): void => leave(() => reject(new Error('The search was cancelled.')));
    const idle = new IdleTimer(timeout, (error) => leave(() => reject(error)));
    const subscription = subscribe(() => idle.reset());
    // `caughtUp` is emitted ahead of events that are still buffered.
    const isDone = (): boolean => isLive && subscription.readableLength === 0;
    const onData = ({ event }: { event?: AllStreamRecordedEvent }): void => {
      idle.reset();
      try {
        if ((event && !take(event)) || isDone()) leave(resolve);
      } catch (error) {
        leave(() => reject(error));
      }
    };
    subscription.on('caughtUp', () => {
      isLive = true;
      if (isDone()) leave(resolve);
    });
    // A subscriber that has fallen behind is told again when it has caught up.
    subscription.on('fellBehind', () => (isLive = false));
    const fail = (error: Error): void => {
      idle.stop();
      signal?.removeEventListener('abort', onAbort);
      reject(error);
    };
    subscription.on('error', fail);
    subscription.on('end', () => fail(new Error('The subscription ended before it had caught up.')));
    subscription.on('data', onData);
    signal?.addEventListener('abort', onAbort);
    if (signal?.aborted) onAbort();
  });

/**
 * Calls back once if nothing has happened for the time limit. Checks once per period instead of restarting a timer for
 * each event, so it may fire up to one period late.
 */
class IdleTimer {
  private active = false;
  stop: () => void = () => undefined;

  constructor(
    private readonly timeout: CallTimeout,
    private readonly onTimeout: (error: TimedOut) => void,
  ) {
    this.start();
  }

  reset(): void {
    this.active = true;
  }

  private start(): void {
    const { clock, ms } = this.timeout;
    this.stop = clock.schedule(ms, () => {
      if (!this.active) return this.onTimeout(new TimedOut(ms));
      this.active = false;
      this.start();
    });
  }
}

/**
 * Ends the call behind a stream of the client. Without these listeners, an error that arrives meanwhile, or a connection
 * that was never established, would end the process as an unhandled error.
 */
export const cancelQuietly = (stream: NodeJS.EventEmitter, cancel: () => Promise<void>): void => {
  stream.on('error', () => undefined);
  cancel().catch(() => undefined);
};

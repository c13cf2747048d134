import type { StreamingRead } from '@eventstore/db-client';
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
  { clock, ms }: Patience,
): Promise<void> =>
  new Promise((resolve, reject) => {
    let stirred = false;
    let stopWatching = (): void => undefined;
    const watch = (): void => {
      stopWatching = clock.schedule(ms, () => {
        if (!stirred) return leave(() => reject(new TimedOut(ms)));
        stirred = false;
        watch();
      });
    };
    const leave = (settle: () => void): void => {
      stopWatching();
      read.off('data', onData);
      settle();
      release(read, () => read.cancel());
    };
    const onData = (event: E): void => {
      stirred = true;
      try {
        if (!take(event)) leave(resolve);
      } catch (error) {
        leave(() => reject(error));
      }
    };
    read.on('error', (error) => {
      stopWatching();
      reject(error);
    });
    read.on('end', () => {
      stopWatching();
      resolve();
    });
    read.on('data', onData);
    watch();
  });

/**
 * Ends the call behind a stream of the client. An error that arrives meanwhile, or a connection that never came about,
 * would end the process if nobody listened.
 */
export const release = (stream: NodeJS.EventEmitter, cancel: () => Promise<void>): void => {
  stream.on('error', () => undefined);
  cancel().catch(() => undefined);
};

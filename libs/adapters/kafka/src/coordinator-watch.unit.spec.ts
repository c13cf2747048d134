import type { Consumer } from 'kafkajs';
import { EventEmitter } from 'node:events';
import { CoordinatorWatch } from './coordinator-watch';

describe('the watch of a group', () => {
  const emitter = new EventEmitter();
  const consumer = Object.assign(emitter, {
    events: { GROUP_JOIN: 'joined', HEARTBEAT: 'beat' },
  }) as unknown as Consumer;

  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it.each(['joined', 'beat'])(
    'says that the coordinator has moved when it was silent, until it is heard (%s)',
    (heard) => {
      const watch = new CoordinatorWatch(consumer);
      jest.advanceTimersByTime(1_900);
      expect(() => watch.check()).not.toThrow();
      jest.advanceTimersByTime(200);
      expect(() => watch.check()).toThrow(expect.objectContaining({ type: 'NOT_COORDINATOR_FOR_GROUP' }));
      emitter.emit(heard);
      expect(() => watch.check()).not.toThrow();
      jest.advanceTimersByTime(1_900);
      expect(() => watch.check()).not.toThrow();
    },
  );
});

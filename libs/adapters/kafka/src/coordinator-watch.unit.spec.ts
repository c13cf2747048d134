import type { Consumer } from 'kafkajs';
import { EventEmitter } from 'node:events';
import { CoordinatorWatch } from './coordinator-watch';

describe('CoordinatorWatch', () => {
  const emitter = new EventEmitter();
  const consumer = Object.assign(emitter, {
    events: { GROUP_JOIN: 'joined', HEARTBEAT: 'beat' },
  }) as unknown as Consumer;

  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it.each(['joined', 'beat'])(
    'throws NOT_COORDINATOR_FOR_GROUP when the coordinator is silent, until the next %s',
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

import type { Consumer } from 'kafkajs';
import { EventEmitter } from 'node:events';
import { GroupWatch } from './group-watch';

describe('the watch of a group', () => {
  const emitter = new EventEmitter();
  const consumer = Object.assign(emitter, {
    events: { GROUP_JOIN: 'joined', HEARTBEAT: 'beat' },
  }) as unknown as Consumer;

  beforeEach(() => jest.useFakeTimers({ now: 0 }));
  afterEach(() => jest.useRealTimers());

  it.each(['joined', 'beat'])(
    'says that the coordinator has moved when it was silent, until it is heard (%s)',
    (heard) => {
      const watch = new GroupWatch(consumer);
      jest.setSystemTime(1_900);
      expect(() => watch.check()).not.toThrow();
      jest.setSystemTime(2_100);
      expect(() => watch.check()).toThrow(expect.objectContaining({ type: 'NOT_COORDINATOR_FOR_GROUP' }));
      emitter.emit(heard);
      expect(() => watch.check()).not.toThrow();
      jest.setSystemTime(4_000);
      expect(() => watch.check()).not.toThrow();
    },
  );
});

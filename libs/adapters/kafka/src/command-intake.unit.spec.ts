import type { EachBatchPayload, KafkaMessage } from 'kafkajs';
import { setImmediate } from 'node:timers/promises';
import { CommandIntake } from './command-intake';

const ignore = (): void => undefined;
const LOG = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** An intake whose records are done when the test says so, and what it has committed. */
const intakeOf = (offsets: readonly string[]) => {
  const committed: string[] = [];
  const done = new Map<string, () => void>();
  const intake = new CommandIntake(
    ({ offset }) => new Promise((resolve) => done.set(offset, () => resolve(true))),
    64,
    LOG,
  );
  const messages = offsets.map((offset) => ({ offset, key: Buffer.from(offset) }) as KafkaMessage);
  intake.take({
    batch: { topic: 'commands', partition: 0, messages, lastOffset: () => offsets.at(-1) },
    commitOffsetsIfNecessary: async ({ topics }: { topics: { partitions: { offset: string }[] }[] }) => {
      committed.push(...topics.flatMap(({ partitions }) => partitions.map(({ offset }) => offset)));
    },
  } as unknown as EachBatchPayload);
  return {
    committed,
    /** Resolves when all that follows from it has happened. */
    isDone: async (offset: string): Promise<void> => {
      done.get(offset)?.();
      await setImmediate();
    },
  };
};

it('commits the offset of the first record that is not done, in whatever order they are done', async () => {
  const { committed, isDone } = intakeOf(['0', '1', '2', '3']);
  for (const offset of ['1', '2']) await isDone(offset);
  expect(new Set(committed)).toEqual(new Set(['0']));
  await isDone('0');
  expect(committed.at(-1)).toBe('3');
  await isDone('3');
  expect(committed.at(-1)).toBe('4');
});

import type { Batch, EachBatchPayload, KafkaMessage, OffsetsByTopicPartition } from 'kafkajs';
import { CommandIntake } from './command-intake';
import { recordingLog } from '../kafka.testing';

interface InHand {
  readonly offset: string;
  readonly signal: AbortSignal;
  readonly finish: (done: boolean) => Promise<void>;
}

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
};

/** An intake whose records are in progress until the test finishes them. */
class Bench {
  readonly inHand: InHand[] = [];
  readonly commits: string[] = [];
  paused = false;
  failing = 0;
  readonly intake: CommandIntake;

  constructor(concurrency = 8) {
    this.intake = new CommandIntake(
      (message, _partition, signal) =>
        new Promise((resolve) => {
          const finish = (done: boolean): Promise<void> => (resolve(done), settle());
          this.inHand.push({ offset: message.offset, signal, finish });
        }),
      concurrency,
      recordingLog(),
    );
  }

  get offsets(): string[] {
    return this.inHand.map(({ offset }) => offset);
  }

  of(offset: string): InHand {
    return this.inHand.findLast((each) => each.offset === offset) as InHand;
  }

  take(records: [offset: number, key: string | null][], last = records.at(-1)?.[0] ?? 0): void {
    const messages = records.map(([offset, key]) => ({ offset: String(offset), key: key && Buffer.from(key) }));
    this.intake.take({
      batch: {
        topic: 't',
        partition: 0,
        messages: messages as KafkaMessage[],
        lastOffset: () => String(last),
      } as Batch,
      pause: () => ((this.paused = true), () => (this.paused = false)),
      commitOffsetsIfNecessary: async (offsets: OffsetsByTopicPartition) => {
        if (this.failing > 0) {
          this.failing--;
          throw new Error('The group is balanced anew.');
        }
        this.commits.push(offsets.topics[0]?.partitions[0]?.offset ?? '');
      },
    } as unknown as EachBatchPayload);
  }
}

describe('CommandIntake', () => {
  it('handles records in order by key and others concurrently, up to the limit', async () => {
    const bench = new Bench(3);
    bench.take([
      [0, 'a'],
      [1, 'a'],
      [2, 'b'],
      [3, null],
      [4, null],
    ]);
    expect(bench.offsets).toEqual(['0', '2', '3']);
    await bench.of('2').finish(true);
    expect(bench.offsets).toEqual(['0', '2', '3', '4']);
    await bench.of('0').finish(true);
    expect(bench.offsets).toEqual(['0', '2', '3', '4', '1']);
  });

  it('commits up to the first unfinished record, and to the end of the batch when all are finished', async () => {
    const bench = new Bench();
    bench.take(
      [
        [0, 'a'],
        [1, 'b'],
        [5, 'c'],
      ],
      7,
    );
    await bench.of('1').finish(true);
    await bench.of('5').finish(true);
    expect(bench.commits).toEqual([]);
    await bench.of('0').finish(true);
    expect(bench.commits).toEqual(['8']);
  });

  it('does not commit a record that was given up', async () => {
    const bench = new Bench();
    bench.take([
      [0, 'a'],
      [1, 'b'],
    ]);
    await bench.of('0').finish(false);
    await bench.of('1').finish(true);
    expect(bench.commits).toEqual([]);
  });

  it('retries a failed commit', async () => {
    const bench = new Bench();
    bench.failing = 1;
    bench.take([[0, 'a']]);
    await bench.of('0').finish(true);
    expect(bench.commits).toEqual([]);
    while (bench.commits.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(bench.commits).toEqual(['1']);
  });

  it('starts and commits nothing of the old assignment after a rebalance, and keeps keys in order', async () => {
    const bench = new Bench();
    bench.take([
      [0, 'a'],
      [1, 'a'],
      [2, 'b'],
    ]);
    const [first] = bench.inHand;
    bench.intake.reset();
    expect(first?.signal.aborted).toBe(true);
    bench.take([
      [0, 'a'],
      [1, 'a'],
    ]);
    expect(bench.offsets).toEqual(['0', '2']);
    await first?.finish(true);
    expect(bench.commits).toEqual([]);
    expect(bench.offsets).toEqual(['0', '2', '0']);
    await bench.of('0').finish(true);
    await bench.of('1').finish(true);
    expect(bench.commits).toEqual(['1', '2']);
  });

  it('pauses fetching above the limit until half of the records are finished', async () => {
    const bench = new Bench(1_000);
    bench.take(Array.from({ length: 600 }, (_, offset) => [offset, null]));
    expect(bench.paused).toBe(true);
    for (let offset = 0; offset < 343; offset++) await bench.of(String(offset)).finish(true);
    expect(bench.paused).toBe(true);
    await bench.of('343').finish(true);
    expect(bench.paused).toBe(false);
  });

  it('resumes fetching after a rebalance', () => {
    const bench = new Bench();
    bench.take(Array.from({ length: 600 }, (_, offset) => [offset, null]));
    bench.intake.reset();
    expect(bench.paused).toBe(false);
  });

  it('finishes and commits records in progress on close and leaves the others', async () => {
    const bench = new Bench(1);
    bench.take([
      [0, 'a'],
      [1, 'b'],
    ]);
    const closed = bench.intake.close();
    expect(bench.of('0').signal.aborted).toBe(true);
    bench.take([[2, 'c']]);
    await bench.of('0').finish(true);
    await closed;
    expect(bench.offsets).toEqual(['0']);
    expect(bench.commits).toEqual(['1']);
  });
});

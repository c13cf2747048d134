import type { CommandReply } from '@rekey/contracts';
import type { CommandHandler, CommandRequest } from '@rekey/ports';
import { describeOn } from '@rekey/testing';
import { randomUUID } from 'node:crypto';
import type { KafkaCommandBus } from './kafka-command-bus';
import {
  CALLER,
  Effects,
  connectionTo,
  deleteTopics,
  exampleCommand,
  createTopics,
  openBus,
  until,
} from './kafka.testing';
import type { KafkaTopics } from './topics/topics';

const PATIENT_MS = 60_000;

describeOn(['kafka'], ({ kafka: url }) => {
  const connection = connectionTo(url);
  let topics: KafkaTopics;
  let effects: Effects;
  const open: KafkaCommandBus[] = [];

  const bus = (): KafkaCommandBus => {
    const made = openBus(connection, topics);
    open.push(made);
    return made;
  };
  const serving = async (handler: CommandHandler): Promise<KafkaCommandBus> => {
    const made = bus();
    await made.serve(handler);
    return made;
  };
  const ready = (of: KafkaCommandBus): Promise<void> =>
    until('it is ready', async () => (await of.status()).ready, PATIENT_MS);
  const requestTo = (key: string): CommandRequest => ({
    command: exampleCommand(key),
    caller: CALLER,
    correlationId: randomUUID(),
  });

  beforeEach(async () => {
    topics = await createTopics(connection, 4);
    effects = new Effects();
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((each) => each.close()));
    await deleteTopics(connection, topics);
  });

  it('loses no reply while senders come and go, even with fewer partitions than senders', async () => {
    await serving(effects.handle);
    const steady = Array.from({ length: 6 }, bus);
    await Promise.all(steady.map(ready));
    let going = true;
    const replies: CommandReply[] = [];
    const working = steady.map(async (sender) => {
      while (going) replies.push(await sender.send(requestTo(randomUUID()), PATIENT_MS));
    });
    for (let round = 0; round < 6; round++) {
      const passing = bus();
      // Both who wait until it reads, and who do not.
      if (round % 2 === 0) await ready(passing);
      const own = await Promise.all(Array.from({ length: 5 }, () => passing.send(requestTo(randomUUID()), PATIENT_MS)));
      expect(own).toHaveLength(5);
      await passing.close();
    }
    going = false;
    await Promise.all(working);
    expect(replies.length).toBeGreaterThan(steady.length);
    expect(effects.done.length).toBe(replies.length + 30);
  });

  it('moves partitions between services without losing or repeating commands, in order by key', async () => {
    const first = await serving(effects.handle);
    const sender = bus();
    await Promise.all([ready(first), ready(sender)]);
    const keys = Array.from({ length: 12 }, () => randomUUID());
    const sent = new Map(keys.map((key) => [key, [] as string[]]));
    let going = true;
    const working = keys.map(async (key) => {
      while (going) {
        const request = requestTo(key);
        sent.get(key)?.push(request.command.id);
        expect(await sender.send(request, PATIENT_MS)).toMatchObject({ id: request.command.id, status: 'accepted' });
      }
    });
    const handled = async (more: number): Promise<void> => {
      const from = effects.done.length;
      await until(`${more} more are handled`, () => effects.done.length >= from + more, PATIENT_MS);
    };
    await handled(50);
    const second = await serving(effects.handle);
    await ready(second);
    await handled(50);
    const third = await serving(effects.handle);
    await handled(50);
    await first.close();
    await handled(50);
    await second.close();
    await handled(50);
    going = false;
    await Promise.all(working);
    await third.close();
    for (const [key, ids] of sent) expect(effects.of(key)).toEqual(ids);
  });

  it('rejects a command that is too large and sends the others of its batch', async () => {
    await serving(effects.handle);
    const sender = bus();
    await ready(sender);
    const large: CommandRequest = { ...requestTo(''), command: exampleCommand(randomUUID(), 'x'.repeat(1_100_000)) };
    const others = Array.from({ length: 20 }, () => requestTo(randomUUID()));
    const sent = [...others.slice(0, 10), large, ...others.slice(10)].map((each) => sender.send(each, PATIENT_MS));
    const outcomes = await Promise.allSettled(sent);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(20);
    expect(outcomes[10]).toMatchObject({ reason: { code: 'payload_too_large' } });
    expect(effects.done).toHaveLength(20);
  });

  it('returns the stored outcome of a repeated command', async () => {
    await serving(effects.handle);
    const sender = bus();
    const request = requestTo(randomUUID());
    const first = await sender.send(request, PATIENT_MS);
    const other = bus();
    expect(await other.send(request, PATIENT_MS)).toEqual({ ...first, replayed: true });
    expect(effects.done).toHaveLength(1);
  });
});

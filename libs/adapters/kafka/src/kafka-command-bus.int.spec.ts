import { ClientKafka, type ClientKafkaProxy } from '@nestjs/microservices';
import { RekeyError, type CommandReply } from '@rekey/contracts';
import { EngineUnavailable, ManualClock, type CommandRequest } from '@rekey/ports';
import { describeOn } from '@rekey/testing';
import { randomBytes, randomUUID } from 'node:crypto';
import type { Message, Producer } from 'kafkajs';
import { firstValueFrom } from 'rxjs';
import { kafkaClient, clientOptions } from './connection';
import type { KafkaCommandBus } from './kafka-command-bus';
import {
  CALLER,
  TopicTail,
  acceptedReply,
  connectionTo,
  deleteTopics,
  exampleCommand,
  foreignCommand,
  foreignProducer,
  recordingLog,
  createTopics,
  openBus,
  sign,
  until,
} from './kafka.testing';
import type { DeadReason } from './observer';
import type { KafkaTopics } from './topics/topics';

describeOn(['kafka'], ({ kafka: url }) => {
  const log = recordingLog();
  const connection = connectionTo(url, log);
  let topics: KafkaTopics;
  let producer: Producer;
  let server: KafkaCommandBus;
  let tails: TopicTail[];
  let taken: CommandRequest[];
  let dead: DeadReason[];
  let undeliverable: number;
  let waits: number;

  const served = (more: Parameters<typeof openBus>[2] = {}): KafkaCommandBus =>
    openBus(connection, topics, {
      replyTopics: [topics.reply, `${topics.reply}.of.*`],
      observer: {
        deadLettered: (reason) => dead.push(reason),
        replyUndeliverable: () => undeliverable++,
        commandWaits: () => waits++,
      },
      ...more,
    });
  const accept = async (request: CommandRequest): Promise<CommandReply> => {
    taken.push(request);
    return acceptedReply(request);
  };
  const tailOf = async (topic: string): Promise<TopicTail> => {
    const tail = await TopicTail.of(connection, topic);
    tails.push(tail);
    return tail;
  };
  const send = (...messages: Message[]) => producer.send({ topic: topics.commands, messages });
  const isTaken = (id: string): boolean => taken.some(({ command }) => command.id === id);

  beforeEach(async () => {
    [taken, dead, undeliverable, waits, tails] = [[], [], 0, 0, []];
    log.lines.length = 0;
    topics = await createTopics(connection, 2);
    producer = await foreignProducer(connection);
    server = served();
  });
  afterEach(async () => {
    await Promise.all([server.close(), producer.disconnect(), ...tails.map((tail) => tail.close())]);
    await deleteTopics(connection, topics);
  });

  describe('a sender other than Rekey', () => {
    it('can be Nest’s client, which gets replies, rejections and errors in its format', async () => {
      await server.serve(async (request) => {
        const { command } = request;
        if (command.type === 'DeleteApplication') throw new RekeyError('forbidden', 'Not for you.');
        return acceptedReply(request, 7);
      });
      const client = new ClientKafka({
        client: clientOptions(connection, 'consumer'),
        consumer: { groupId: `${topics.commandGroup}.nest-${randomUUID()}` },
        producerOnlyMode: false,
      });
      client.subscribeToResponseOf(topics.commands);
      await client.connect();
      signEverySend(client);
      try {
        // It says that it is connected before it has a partition for replies.
        await until('it has one', () => client.getConsumerAssignments()[topics.reply] !== undefined);
        const command = exampleCommand();
        const ask = (value: typeof command | object) =>
          firstValueFrom(client.send<CommandReply>(topics.commands, { key: command.data.applicationId, value }));
        expect(await ask(command)).toEqual(acceptedReply({ command } as CommandRequest, 7));
        const { domainId, applicationId } = command.data;
        await expect(
          ask({ id: randomUUID(), type: 'DeleteApplication', data: { domainId, applicationId } }),
        ).rejects.toEqual({
          code: 'forbidden',
          message: 'Not for you.',
          details: {},
        });
        const many = Array.from({ length: 20 }, () => exampleCommand(applicationId));
        expect((await Promise.all(many.map(ask))).map(({ id }) => id)).toEqual(many.map(({ id }) => id));
      } finally {
        await client.close();
      }
    });

    it('gets its correlation id back unchanged, in the partition that it names as bytes or text', async () => {
      await server.serve(accept);
      const replies = await tailOf(topics.reply);
      const ids = [
        randomBytes(16),
        Buffer.from('{"not":"json"'),
        Buffer.from([0, 0xff, 0x7b]),
        Buffer.from('ü \u{1f511}'),
      ];
      const address = { kafka_replyTopic: topics.reply };
      for (const [index, id] of ids.entries()) {
        const partition = index % 2 === 0 ? Buffer.from([0, 0, 0, 1]) : '1';
        const headers = { ...address, kafka_correlationId: id, kafka_replyPartition: partition };
        await send(await foreignCommand(exampleCommand(), { headers }));
      }
      await until('all replies', () => replies.messages.length === ids.length);
      const hex = (values: unknown[]) => values.map((value) => (value as Buffer).toString('hex')).sort();
      expect(hex(replies.messages.map(({ headers }) => headers?.['kafka_correlationId']))).toEqual(hex(ids));
      expect(hex(replies.messages.map(({ key }) => key))).toEqual(hex(ids));
      expect(replies.messages.map(({ partition }) => partition)).toEqual([1, 1, 1, 1]);
      const known = taken.map(({ correlationId }) => correlationId);
      expect(known.filter((id) => /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(id))).toHaveLength(2);
      expect(known).toContain('ü \u{1f511}');
    });

    it('needs no reply', async () => {
      await server.serve(accept);
      const replies = await tailOf(topics.reply);
      const [silent, told] = [exampleCommand(), exampleCommand()];
      await send(
        await foreignCommand(silent),
        await foreignCommand(told, { headers: { kafka_replyTopic: topics.reply } }),
      );
      await until('the reply', () => replies.messages.length > 0 && taken.length === 2);
      expect(replies.messages.map(({ value }) => (JSON.parse(String(value)) as CommandReply).id)).toEqual([told.id]);
    });

    it('gets rejections without an outcome', async () => {
      const faulty = exampleCommand();
      await server.serve(async (request) => {
        if (request.command.id === faulty.id) throw new TypeError('Internals of ours.');
        return accept(request);
      });
      const replies = await tailOf(topics.reply);
      const headers = { kafka_replyTopic: topics.reply };
      const unsigned = await foreignCommand(exampleCommand(), { headers: { ...headers, authorization: 'Bearer x' } });
      const misplaced = await foreignCommand(exampleCommand(), { headers, key: randomUUID() });
      const keyless = { ...(await foreignCommand(exampleCommand(), { headers })), key: null };
      await send(unsigned, misplaced, keyless, await foreignCommand(faulty, { headers }));
      await until('the replies', () => replies.messages.length === 4);
      const told = replies.messages.map(({ value }) => JSON.parse(String(value)) as CommandReply);
      expect(told.map(({ status, error }) => [status, error?.code]).sort()).toEqual([
        ['rejected', 'internal'],
        ['rejected', 'invalid_request'],
        ['rejected', 'invalid_request'],
        ['rejected', 'unauthenticated'],
      ]);
      expect(JSON.stringify(told)).not.toContain('Internals');
      expect(told[0]).toMatchObject({ replayed: false, revision: -1, position: '' });
      expect(taken).toEqual([]);
    });

    it('loses only its reply if it cannot be sent', async () => {
      await server.serve(accept);
      const lost = (headers: Record<string, string>) => foreignCommand(exampleCommand(), { headers });
      await send(
        await lost({ kafka_replyTopic: `${topics.reply}.of.nobody` }),
        await lost({ kafka_replyTopic: topics.reply, kafka_replyPartition: '77' }),
      );
      await until('both are given up', () => undeliverable === 2);
      expect(taken).toHaveLength(2);
      const next = exampleCommand();
      await send(await foreignCommand(next));
      await until('the next is taken', () => isTaken(next.id));
    });

    it('can get replies in a partition that was just added', async () => {
      await server.serve(accept);
      const first = exampleCommand();
      await send(
        await foreignCommand(first, { headers: { kafka_replyTopic: topics.reply, kafka_replyPartition: '0' } }),
      );
      await until('a producer knows the topic as it was', () => isTaken(first.id));
      const admin = kafkaClient(connection, 'admin').admin();
      await admin.connect();
      await admin.createPartitions({ topicPartitions: [{ topic: topics.reply, count: 3 }] });
      await until('the brokers know it', async () => {
        const { topics: found } = await admin.fetchTopicMetadata({ topics: [topics.reply] });
        return found[0]?.partitions.length === 3;
      });
      await admin.disconnect();
      const replies = await tailOf(topics.reply);
      await until('it is answered there', async () => {
        await send(
          await foreignCommand(exampleCommand(), {
            headers: { kafka_replyTopic: topics.reply, kafka_replyPartition: '2' },
          }),
        );
        return replies.messages.some(({ partition }) => partition === 2);
      });
    });
  });

  describe('dead letters', () => {
    it('contain records that are not commands, with the reason, and delay nothing', async () => {
      await server.serve(accept);
      const letters = await tailOf(topics.dead);
      const key = randomUUID();
      const valid = await foreignCommand(exampleCommand(key));
      const withHeaders = (headers: Message['headers']) => ({ ...valid, headers: { ...valid.headers, ...headers } });
      const text = (value: string | null): Message => ({ key, value });
      const cases: [DeadReason, Message][] = [
        ['unparsable', text('not json')],
        ['unparsable', text(null)],
        ['unparsable', text('[]')],
        ['unparsable', text('{"type":"UpdateApplication"}')],
        ['unknown_command', text('{"id":"1","type":"DropEverything"}')],
        ['unknown_command', text('{"id":"1","type":"__proto__"}')],
        ['repeated_header', withHeaders({ kafka_replyTopic: [topics.reply, 'elsewhere'] })],
        ['repeated_header', withHeaders({ authorization: ['Bearer a', 'Bearer b'] })],
        ['malformed_reply_partition', withHeaders({ kafka_replyTopic: topics.reply, kafka_replyPartition: 'one' })],
        [
          'malformed_reply_partition',
          withHeaders({ kafka_replyTopic: topics.reply, kafka_replyPartition: Buffer.from([255, 0, 0, 0]) }),
        ],
        ['reply_topic_not_allowed', withHeaders({ kafka_replyTopic: 'elsewhere' })],
        ['reply_topic_not_allowed', withHeaders({ kafka_replyTopic: `${topics.reply}xof.x` })],
        ['reply_topic_not_allowed', withHeaders({ kafka_replyTopic: topics.commands })],
        ['reply_topic_not_allowed', withHeaders({ kafka_replyTopic: topics.dead })],
      ];
      const next = exampleCommand(key);
      await send(...cases.map(([, message]) => message), await foreignCommand(next));
      await until('the command behind them is taken', () => isTaken(next.id));
      await until('all are there', () => letters.messages.length === cases.length);
      expect(letters.headers('rekey-reason')).toEqual(cases.map(([reason]) => reason));
      expect(dead).toEqual(cases.map(([reason]) => reason));
      expect(letters.messages.map(({ value }) => value?.toString())).toEqual(
        cases.map(([, { value }]) => value?.toString()),
      );
      expect(letters.messages.every((letter) => letter.key?.toString() === key)).toBe(true);
      expect(new Set(letters.headers('rekey-topic'))).toEqual(new Set([topics.commands]));
      expect(letters.headers('authorization').every((header) => header === undefined)).toBe(true);
      expect(taken).toHaveLength(1);
      expect(log.lines.join()).not.toContain('DropEverything');
    });

    it('contain commands that have waited too long', async () => {
      await server.close();
      const clock = new ManualClock(Date.now() + 61_000);
      server = served({ clock, maxCommandAgeMs: 60_000 });
      await server.serve(accept);
      const letters = await tailOf(topics.dead);
      await send(await foreignCommand(exampleCommand()));
      await until('it is there', () => letters.messages.length === 1);
      expect(letters.headers('rekey-reason')).toEqual(['too_old']);
      expect(taken).toEqual([]);
    });

    it('do not contain values that may be plaintext secrets, and the log does not either', async () => {
      await server.serve(async (request) => {
        throw new RekeyError('invalid_request', `Unrecognized key of ${request.command.type}`);
      });
      const plain = 'correct horse battery staple';
      const key = randomUUID();
      const registering = (firstSecret: string) =>
        `{"id":"${randomUUID()}","type":"RegisterApplication","data":{"applicationId":"${key}","firstSecret":{${firstSecret}}}}`;
      const values = [
        registering(`"value":"${plain}"`),
        registering(`"\\u0076alue":"${plain}"`),
        registering(`"sealedValue":"rky_0123456789_${'a'.repeat(49)}"`),
        registering(`"value":"${plain}"`).slice(0, -5),
        `{"id":"1","type":"Nothing","password":"${plain}"}`,
        Buffer.from(registering(`"value":"${plain}"`), 'utf16le'),
      ];
      const headers = { kafka_replyTopic: 'elsewhere', kafka_correlationId: `secret=${plain}` };
      const [letters, replies] = [await tailOf(topics.dead), await tailOf(topics.reply)];
      await send(...values.map((value) => ({ key, value, headers })));
      const told = { kafka_replyTopic: topics.reply };
      const value = JSON.parse(registering(`"value":"${plain}"`)) as { id: string };
      await send(await foreignCommand(value, { key, headers: told }));
      await until(
        'all are dealt with',
        () => letters.messages.length === values.length && replies.messages.length === 1,
      );
      expect(letters.messages.map((letter) => letter.value)).toEqual(values.map(() => null));
      const everything = [...letters.messages, ...replies.messages].map(({ key: of, value: text, headers: all }) => [
        of?.toString(),
        text?.toString(),
        JSON.stringify(Object.entries(all ?? {}).map(([name, each]) => [name, String(each)])),
      ]);
      for (const secret of [plain, 'rky_']) {
        expect(JSON.stringify(everything)).not.toContain(secret);
        expect(log.lines.join()).not.toContain(secret);
      }
    });
  });

  describe('an unavailable store', () => {
    it('delays commands without losing the group; then each is executed and answered once, in order', async () => {
      const answered = await tailOf(topics.reply);
      let away = true;
      let attempts = 0;
      await server.serve(async (request) => {
        attempts++;
        if (away && attempts % 2 === 0) throw new EngineUnavailable('event store');
        if (away) throw new RekeyError('timeout', 'The outcome is unknown.');
        return accept(request);
      });
      await until('it serves', async () => (await server.status()).ready);
      const memberOf = async (): Promise<string[]> => {
        const admin = kafkaClient(connection, 'admin').admin();
        await admin.connect();
        const { groups } = await admin.describeGroups([topics.commandGroup]);
        await admin.disconnect();
        return (groups[0]?.members ?? []).map(({ memberId }) => memberId);
      };
      const before = await memberOf();
      const key = randomUUID();
      const commands = Array.from({ length: 5 }, () => exampleCommand(key));
      for (const command of commands)
        await send(await foreignCommand(command, { headers: { kafka_replyTopic: topics.reply } }));
      // The waits grow; by then they are longer, together, than the group waits for a member without heartbeats.
      await until('it has been tried for a while', () => waits >= 9);
      expect(attempts).toBeLessThanOrEqual(waits + 1);
      expect(await memberOf()).toEqual(before);
      expect(answered.messages).toEqual([]);
      expect(dead).toEqual([]);
      away = false;
      await until('all are answered', () => answered.messages.length === commands.length);
      expect(taken.map(({ command }) => command.id)).toEqual(commands.map(({ id }) => id));
      expect(await memberOf()).toEqual(before);
    });

    it('does not delay commands with another key', async () => {
      const waiting = exampleCommand();
      await server.serve(async (request) => {
        if (request.command.id === waiting.id) throw new EngineUnavailable('event store');
        return accept(request);
      });
      const others = Array.from({ length: 600 }, () => exampleCommand());
      await send(
        await foreignCommand(waiting),
        ...(await Promise.all(others.map((command) => foreignCommand(command)))),
      );
      await until('the others are taken', () => taken.length >= 500);
      expect(isTaken(waiting.id)).toBe(false);
    });

    it('turns a command into a dead letter when it is too old', async () => {
      await server.close();
      const clock = new ManualClock(Date.now());
      server = served({ clock, maxCommandAgeMs: 3_600_000 });
      await server.serve(async () => {
        throw new RekeyError('unavailable', 'Away.');
      });
      await send(await foreignCommand(exampleCommand()));
      await until('it waits', () => waits > 0);
      clock.advance(3_700_000);
      await until('it is given up', () => dead.length === 1);
      expect(dead).toEqual(['too_old']);
    });
  });

  describe('the committed offset', () => {
    const committed = async (): Promise<number> => {
      const admin = kafkaClient(connection, 'admin').admin();
      await admin.connect();
      const [offsets] = await admin.fetchOffsets({ groupId: topics.commandGroup, topics: [topics.commands] });
      await admin.disconnect();
      return Math.max(...(offsets?.partitions ?? []).map(({ offset }) => Number(offset)));
    };

    it('is never beyond an unfinished command, which arrives again', async () => {
      let open: () => void = () => undefined;
      const opened = new Promise<void>((resolve) => (open = resolve));
      const slow = exampleCommand();
      await server.serve(async (request) => {
        if (request.command.id === slow.id) await opened;
        return accept(request);
      });
      // All in one partition: the keys differ, and the partition is named.
      const message = async (command = exampleCommand()) => ({ ...(await foreignCommand(command)), partition: 0 });
      await send(await message(), await message(slow), await message(), await message(), await message());
      await until('the others are done', () => taken.length === 4);
      await until('the first is committed', async () => (await committed()) === 1);
      open();
      await until('all is committed', async () => (await committed()) === 5);
      await server.close();
      taken.length = 0;
      server = served();
      await server.serve(accept);
      const next = exampleCommand();
      await send(await message(next));
      await until('the next is taken', () => isTaken(next.id));
      expect(taken).toHaveLength(1);
    });

    it('leaves waiting commands to the next process on close', async () => {
      let open: () => void = () => undefined;
      const opened = new Promise<void>((resolve) => (open = resolve));
      const key = randomUUID();
      const commands = Array.from({ length: 4 }, () => exampleCommand(key));
      let begun = 0;
      await server.serve(async (request) => {
        begun++;
        await opened;
        return accept(request);
      });
      for (const command of commands) await send(await foreignCommand(command));
      await until('one is in hand', () => begun === 1);
      const closed = server.close();
      open();
      await closed;
      expect(taken.map(({ command }) => command.id)).toEqual([commands[0]?.id]);
      server = served();
      await server.serve(accept);
      await until('the others are taken', () => taken.length === commands.length);
      expect(taken.map(({ command }) => command.id)).toEqual(commands.map(({ id }) => id));
    });
  });

  it('throws at once if its key cannot sign', async () => {
    const refuse = () => Promise.reject(new RekeyError('unauthenticated', 'No key.'));
    const bus = openBus(connection, topics, { sign: refuse });
    const request = { command: exampleCommand(), caller: CALLER, correlationId: 'c' };
    await expect(bus.send(request, 60_000)).rejects.toMatchObject({ code: 'unauthenticated' });
    await bus.close();
  });
});

/** What a sender with Nest's client must do: headers are complete only when the producer gets them. */
const signEverySend = (client: ClientKafka | ClientKafkaProxy): void => {
  const own = (client as unknown as { _producer: Producer })._producer;
  const plain = own.send.bind(own);
  own.send = async (record) => {
    for (const message of record.messages) {
      const value = Buffer.from(message.value as string);
      const request = { caller: CALLER, correlationId: '' } as unknown as CommandRequest;
      message.headers = { ...message.headers, authorization: await sign(request, { value }) };
    }
    return plain(record);
  };
};

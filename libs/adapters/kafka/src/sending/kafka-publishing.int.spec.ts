import type { CloudEvent } from '@rekey/contracts';
import { SystemClock, type StoredEvent } from '@rekey/ports';
import { exampleEvent, exampleNotice, notifierConformance } from '@rekey/ports/conformance';
import { describeOn } from '@rekey/testing';
import { KafkaEventPublisher } from './kafka-event-publisher';
import { KafkaNotifier } from './kafka-notifier';
import { TopicTail, connectionTo, deleteTopics, createTopics, until } from '../kafka.testing';
import { Relay, PRODUCE } from '../relay.testing';
import { topicsOf, type KafkaTopics } from '../topics/topics';

const stored = (count: number, more: object = {}): StoredEvent[] =>
  Array.from({ length: count }, (_, index) => ({
    ...exampleEvent({ secretId: `s${index}`, verifier: 'not-a-real-verifier', ...more }),
    stream: `application-${index % 3}`,
    revision: Math.floor(index / 3),
    position: String(index + 1).padStart(20, '0'),
  }));

describeOn(['kafka'], ({ kafka: url }) => {
  const connection = connectionTo(url);
  const clock = new SystemClock();
  let topics: KafkaTopics;
  let tail: TopicTail;
  let relay: Relay | undefined;

  beforeEach(async () => {
    topics = await createTopics(connection);
  });
  afterEach(async () => {
    await tail?.close();
    await relay?.close();
    relay = undefined;
    await deleteTopics(connection, topics);
  });

  describe('the publisher', () => {
    const publisher = (of = connection): KafkaEventPublisher =>
      new KafkaEventPublisher({ connection: of, topics, source: 'urn:rekey:test' });
    const published = (): CloudEvent[] => tail.messages.map(({ value }) => JSON.parse(String(value)) as CloudEvent);
    const idsOf = (events: readonly StoredEvent[], stream: string): string[] =>
      events.filter((event) => event.stream === stream).map(({ eventId }) => eventId);

    it('publishes CloudEvents without verifiers, keyed by stream and in its order', async () => {
      tail = await TopicTail.of(connection, topics.events);
      const events = stored(700);
      const made = publisher();
      await made.publish(events);
      await made.publish([]);
      await made.close();
      await until('all are there', () => tail.messages.length === events.length);
      for (const stream of ['application-0', 'application-1', 'application-2']) {
        const own = published().filter(({ subject }) => subject === stream);
        expect(own.map(({ id }) => id)).toEqual(idsOf(events, stream));
        expect(new Set(own.map(({ revision }) => revision)).size).toBe(own.length);
      }
      expect(tail.messages.every(({ key }, index) => key?.toString() === published()[index]?.subject)).toBe(true);
      expect(new Set(tail.headers('content-type'))).toEqual(new Set(['application/cloudevents+json; charset=UTF-8']));
      expect(JSON.stringify(published())).not.toContain('not-a-real-verifier');
      expect(published()[0]).toMatchObject({
        specversion: '1.0',
        source: 'urn:rekey:test',
        type: 'rekey.application.SecretAdded',
      });
    });

    it('publishes more than fits in one request', async () => {
      tail = await TopicTail.of(connection, topics.events);
      const events = stored(40, { text: 'x'.repeat(100_000) });
      const made = publisher();
      await made.publish(events);
      await made.close();
      await until('all are there', () => tail.messages.length === events.length);
      expect(
        published()
          .map(({ id }) => id)
          .sort(),
      ).toEqual(events.map(({ eventId }) => eventId).sort());
    });

    it('publishes at least once and in order when answers are lost', async () => {
      tail = await TopicTail.of(connection, topics.events);
      relay = await Relay.to(url);
      const { socketFactory } = relay;
      let requests = 0;
      relay.mishap = (apiKey) => (apiKey === PRODUCE && ++requests % 2 === 1 ? 'cut' : undefined);
      const made = publisher({ ...connection, socketFactory });
      const events = stored(60);
      for (let from = 0; from < events.length; from += 10) await made.publish(events.slice(from, from + 10));
      await made.close();
      expect(relay.lost).toBeGreaterThan(3);
      await until('all are there', () => new Set(published().map(({ id }) => id)).size === events.length);
      for (const stream of ['application-0', 'application-1', 'application-2']) {
        const ids = published().flatMap(({ subject, id }) => (subject === stream ? [id] : []));
        expect([...new Set(ids)]).toEqual(idsOf(events, stream));
      }
    });

    it('throws if the topic is missing and publishes once it exists', async () => {
      const made = new KafkaEventPublisher({
        connection,
        topics: topicsOf(`${topics.events}.not.`),
        source: 'urn:rekey:test',
      });
      await expect(made.publish(stored(1))).rejects.toMatchObject({ code: 'unavailable' });
      expect(await made.status()).toMatchObject({ ready: false, cause: expect.stringMatching(/^missing topics: /) });
      await createTopics(connection, 1, topicsOf(`${topics.events}.not.`));
      await until('it is known', () =>
        made.publish(stored(1)).then(
          () => true,
          () => false,
        ),
      );
      await made.close();
      await deleteTopics(connection, topicsOf(`${topics.events}.not.`));
    });
  });

  describe('the notifier', () => {
    const made: KafkaNotifier[] = [];
    const notifier = (topic = topics.notifications, of = connection): KafkaNotifier => {
      made.push(new KafkaNotifier({ connection: of, topic, clock, timeoutMs: 20_000 }));
      return made.at(-1) as KafkaNotifier;
    };
    afterEach(() => Promise.all(made.splice(0).map((each) => each.close())));

    notifierConformance('KafkaNotifier', () => notifier());

    it('sends a notice with the same message id each time', async () => {
      tail = await TopicTail.of(connection, topics.notifications);
      const channel = notifier();
      expect(channel.channel).toBe('kafka');
      expect(await channel.status()).toEqual({ ready: true });
      await channel.send(exampleNotice());
      await channel.send(exampleNotice());
      await until('both are there', () => tail.messages.length === 2);
      expect(tail.messages.map(({ value }) => JSON.parse(String(value)) as unknown)).toEqual([
        exampleNotice(),
        exampleNotice(),
      ]);
      expect(tail.headers('message-id')).toEqual([exampleNotice().messageId, exampleNotice().messageId]);
      expect(tail.messages.every(({ key }) => key?.toString() === exampleNotice().applicationId)).toBe(true);
    });

    it('throws a public cause if a notice cannot be sent', async () => {
      await expect(notifier('nowhere').send(exampleNotice())).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringMatching(/^The topic nowhere.* does not exist/),
        details: { channel: 'kafka' },
      });
      const away = notifier(topics.notifications, { ...connection, brokers: ['127.0.0.1:1'] });
      await expect(away.send(exampleNotice())).rejects.toMatchObject({
        code: 'unavailable',
        message: 'No broker answers.',
      });
    });
  });
});

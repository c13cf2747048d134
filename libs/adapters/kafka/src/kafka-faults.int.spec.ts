import type { RekeyError } from '@rekey/contracts';
import { NativeEngine, describeOn, ownEngine } from '@rekey/testing';
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import type { KafkaCommandBus } from './kafka-command-bus';
import { Effects, connectionTo, deleteTopics, recordingLog, createTopics, openBus, until } from './kafka.testing';
import { Load, PATIENT_MS, sendUntilAnswered, requestTo } from './load.testing';
import { OFFSET_COMMIT, PRODUCE, Relay, spoil, type LostAnswer } from './relay.testing';
import { topicsOf, type KafkaTopics } from './topics/topics';

/** Brokers are stopped and started, on a busy machine. */
jest.setTimeout(240_000);

describeOn(['kafka'], ({ kafka: url }) => {
  describe('lost answers of a broker', () => {
    let relay: Relay;
    let topics: KafkaTopics;
    const direct = connectionTo(url);

    beforeEach(async () => {
      relay = await Relay.to(url);
      topics = await createTopics(direct);
    });
    afterEach(async () => {
      await relay.close();
      await deleteTopics(direct, topics);
    });

    it.each<LostAnswer>(['cut', 'swallow'])(
      'lose no command and no reply, and nothing is done twice (%s)',
      async (kind) => {
        const { socketFactory } = relay;
        const connection = { ...direct, socketFactory, requestTimeoutMs: 1_000 };
        const effects = new Effects();
        const bus = openBus(connection, topics);
        await bus.serve(effects.handle);
        await until('it is ready', async () => (await bus.status()).ready, PATIENT_MS);
        let requests = 0;
        relay.mishap = (apiKey) =>
          [PRODUCE, OFFSET_COMMIT].includes(apiKey) && ++requests % 5 === 0 ? kind : undefined;
        const replies = await Promise.all(
          Array.from({ length: 10 }, async () => {
            const key = randomUUID();
            const ids: string[] = [];
            for (let count = 0; count < 4; count++) {
              const request = requestTo(key);
              ids.push((await bus.send(request, PATIENT_MS)).id);
            }
            expect(effects.of(key)).toEqual(ids);
            return ids;
          }),
        );
        expect(replies.flat()).toHaveLength(40);
        expect(effects.done).toHaveLength(40);
        expect(relay.lost).toBeGreaterThanOrEqual(3);
        relay.mishap = () => undefined;
        await bus.close();
      },
    );
  });

  it('replaces a crashed consumer and loses nothing', async () => {
    const relay = await Relay.to(url);
    const { socketFactory } = relay;
    const direct = connectionTo(url);
    const topics = await createTopics(direct, 1);
    const replaced: string[] = [];
    const effects = new Effects();
    const bus = openBus({ ...direct, socketFactory }, topics, {
      observer: { consumerRestarted: (which) => replaced.push(which) },
    });
    await bus.serve(effects.handle);
    await until('it is ready', async () => (await bus.status()).ready, PATIENT_MS);
    // First what the command-service fetches, then what the sender does; neither can be read then.
    const spoiling = ['UpdateApplication', '"status"'];
    relay.alter = (frame) => {
      if (spoiling.length > 0 && spoil(frame, spoiling[0] ?? '')) spoiling.shift();
    };
    const request = requestTo(randomUUID());
    expect(await bus.send(request, PATIENT_MS)).toMatchObject({ id: request.command.id, status: 'accepted' });
    expect(spoiling).toEqual([]);
    expect(replaced).toEqual(['commands', 'replies']);
    expect(effects.done).toEqual([request.command.id]);
    await bus.close();
    await relay.close();
    await deleteTopics(direct, topics);
  });

  if (!NativeEngine.isAvailable('kafka')) {
    it.skip('not run: brokers to stop and kill are started by deploy/native/kafka, which needs Java and Maven', () =>
      undefined);
    return;
  }

  describe('a broker', () => {
    let engine: NativeEngine;
    let bus: KafkaCommandBus;
    let effects: Effects;

    beforeEach(() => {
      engine = ownEngine('kafka');
      effects = new Effects();
    });
    afterEach(async () => {
      engine.signal('SIGCONT');
      await bus.close();
      engine.stop();
      rmSync(engine.folder, { recursive: true });
    });

    const begin = async (more: { requestTimeoutMs?: number } = {}): Promise<void> => {
      const connection = { ...connectionTo(engine.url), ...more };
      bus = openBus(connection, await createTopics(connection));
      await bus.serve(effects.handle);
      await until('it is ready', async () => (await bus.status()).ready, PATIENT_MS);
    };

    it('can be restarted and killed under load: nothing is lost or executed twice, and everything recovers', async () => {
      await begin();
      const load = new Load(bus, 5_000);
      await load.makesProgress();
      engine.restart();
      await load.makesProgress();
      engine.signal('SIGKILL');
      engine.restart();
      await load.makesProgress();
      await load.end(effects);
      expect(await bus.status()).toEqual({ ready: true });
    });

    it('can hang: commands fail with unavailable or timeout, and their outcome is known later', async () => {
      await begin({ requestTimeoutMs: 2_000 });
      const load = new Load(bus, 1_000);
      await load.makesProgress();
      engine.signal('SIGSTOP');
      const key = randomUUID();
      const requests = Array.from({ length: 5 }, () => requestTo(key));
      const codes = await Promise.all(
        requests.map((request) =>
          bus.send(request, 1_500).then(
            () => 'answered',
            (error: RekeyError) => error.code,
          ),
        ),
      );
      expect(codes.every((code) => code === 'timeout' || code === 'unavailable')).toBe(true);
      engine.signal('SIGCONT');
      await load.makesProgress();
      await load.end(effects);
      // Something sent later to the same key comes after whatever was taken.
      await sendUntilAnswered(bus, requestTo(key), 5_000);
      const taken = new Set(effects.of(key));
      for (const [index, { command }] of requests.entries())
        if (codes[index] === 'unavailable') expect(taken.has(command.id)).toBe(false);
    });

    it('can be unavailable on close, which does not wait for it', async () => {
      await begin();
      const load = new Load(bus, 5_000);
      await load.makesProgress(20);
      await load.end(effects);
      engine.stop();
      const pending = bus.send(requestTo(randomUUID()), 2_000).catch((error: RekeyError) => error.code);
      await bus.close();
      expect(['timeout', 'unavailable']).toContain(await pending);
      engine.restart();
    });

    it('can be unavailable at the start: status says so, commands are refused, and everything starts by itself', async () => {
      const log = recordingLog();
      const connection = connectionTo(engine.url, log);
      engine.stop();
      const topics = topicsOf('late.');
      bus = openBus(connection, topics);
      await bus.serve(effects.handle);
      expect(await bus.status()).toEqual({ ready: false, cause: 'No broker answers.' });
      await expect(bus.send(requestTo(randomUUID()), 500)).rejects.toMatchObject({ code: 'unavailable' });
      engine.restart();
      await until('the broker is seen', async () => (await bus.status()).cause?.startsWith('missing topics') ?? false);
      expect((await bus.status()).cause).toBe(
        'missing topics: late.rekey.commands, late.rekey.commands.reply, late.rekey.commands.dead',
      );
      await expect(bus.send(requestTo(randomUUID()), 500)).rejects.toMatchObject({ code: 'unavailable' });
      await createTopics(connection, 3, topics);
      await until('it is ready', async () => (await bus.status()).ready, PATIENT_MS);
      expect(await bus.send(requestTo(randomUUID()), PATIENT_MS)).toMatchObject({ status: 'accepted' });
      expect(effects.done).toHaveLength(1);
      expect(log.lines.filter((line) => line.startsWith('commands cannot be consumed')).length).toBeGreaterThan(1);
    });
  });
});

import { Redis } from 'ioredis';
import { MongoClient } from 'mongodb';
import { setTimeout as sleep } from 'node:timers/promises';
import { RECOVERY_MS, between, engineOf, type Chaos, type Fault, type Random } from './fault.testing';

/**
 * Losses of data. The data in Redis can be derived from the views. MongoDB has the views, which can be derived from the
 * events, and the outcomes of commands, which cannot: after a loss, the stream of a command still has its events, but
 * not the generated value. A rejection or a no-op leaves no events and would be decided again. Therefore outcomes are
 * lost only while no command is in flight. Checks continue.
 */

/** An accidental FLUSHALL, or a failed disk. */
export const lostRedis: Fault = {
  name: 'loss of redis',
  weight: 3,
  touches: 'redis',
  recoveryMs: RECOVERY_MS,
  apply: async (chaos, random) => {
    const engine = engineOf(chaos, 'redis');
    const flushed = random() < 0.5;
    await sleep(between(random, 0, 1_000));
    if (flushed) return flushRedis(engine.url);
    await engine.kill();
    engine.loseData();
    await engine.start();
  },
};

const flushRedis = async (url: string): Promise<void> => {
  const redis = new Redis(url);
  await redis.flushall();
  redis.disconnect();
};

/** Runs `work` while no command is in flight. The first `known` settled commands keep their outcomes. */
const withoutCommands = async (chaos: Chaos, known: number, work: () => Promise<void>): Promise<void> => {
  await chaos.quiet();
  await work();
  chaos.load.loseOutcomes(known);
  chaos.load.resume();
};

/** The database is dropped while in use, or the disk fails. */
export const lostMongo: Fault = {
  name: 'loss of mongodb',
  weight: 3,
  touches: 'all',
  needs: 'mongodb',
  recoveryMs: RECOVERY_MS,
  apply: (chaos, random) =>
    withoutCommands(chaos, 0, async () => {
      const engine = engineOf(chaos, 'mongodb');
      if (random() < 0.5) return dropDatabase(chaos, engine.url);
      await engine.kill();
      engine.loseData();
      await sleep(between(random, 0, 1_500));
      await engine.start();
    }),
};

const dropDatabase = async ({ database }: Chaos, url: string): Promise<void> => {
  const client = new MongoClient(url);
  await client.db(database).dropDatabase();
  await client.close();
};

/**
 * MongoDB is restored from an older copy, as from a backup. Every gateway first answers a check, so that it has seen a
 * later position than that of the copy: a gateway that has not may answer from the copy until a projector detects it.
 */
export const outdatedMongo: Fault = {
  name: 'older copy of mongodb',
  weight: 3,
  touches: 'all',
  needs: 'mongodb',
  recoveryMs: RECOVERY_MS,
  apply: async (chaos, random: Random) => {
    const engine = engineOf(chaos, 'mongodb');
    const known = chaos.load.settled.length;
    const putBack = engine.copyData();
    await sleep(between(random, 500, 2_500));
    await withoutCommands(chaos, known, async () => {
      const [value] = chaos.load.values.slice(-1);
      if (value) await chaos.load.checkEverywhere(value);
      await engine.kill();
      putBack();
      await engine.start();
    });
  },
};

import { Redis } from 'ioredis';
import { MongoClient } from 'mongodb';
import { setTimeout as sleep } from 'node:timers/promises';
import { WHOLE_WITHIN_MS, between, engineOf, type Chaos, type Fault, type Random } from './fault.testing';

/**
 * What engines can lose. Redis holds nothing that does not follow from the views. MongoDB holds the views, which follow
 * from the events, and the outcomes of commands, which do not: what is known of a command afterwards is what its stream
 * says, that it was taken and, but for the value, what it made. Of one that was refused, or that changed nothing,
 * nothing is known, and it would be decided anew. So outcomes are lost at a moment when no command is under way; checks
 * go on.
 */

/** As `FLUSHALL` does it, by mistake, or a disk that is lost. */
export const lostRedis: Fault = {
  name: 'loss of redis',
  weight: 3,
  touches: 'redis',
  wholeWithinMs: WHOLE_WITHIN_MS,
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

/** `known`: so many settled commands keep their outcome. */
const withoutCommands = async (chaos: Chaos, known: number, work: () => Promise<void>): Promise<void> => {
  await chaos.quiet();
  await work();
  chaos.load.loseOutcomes(known);
  chaos.load.resume();
};

/** Dropped under everybody's hands, or gone with the disk. */
export const lostMongo: Fault = {
  name: 'loss of mongodb',
  weight: 3,
  touches: 'all',
  needs: 'mongodb',
  wholeWithinMs: WHOLE_WITHIN_MS,
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
 * Put back to an older copy, as from a backup. Everybody who checks has seen more than is in the copy: that a gateway
 * which has not would answer from it, for the seconds until a projector finds out, is what design §6 leaves open.
 */
export const outdatedMongo: Fault = {
  name: 'older copy of mongodb',
  weight: 3,
  touches: 'all',
  needs: 'mongodb',
  wholeWithinMs: WHOLE_WITHIN_MS,
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

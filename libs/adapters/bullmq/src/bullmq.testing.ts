import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';

/** Returns a prefix that no other test uses. */
export const testPrefix = (): string => `rekey-test-${randomUUID()}`;

/** Runs work on its own connection. */
export const onRedis = async <T>(url: string, work: (redis: Redis) => Promise<T>): Promise<T> => {
  const redis = new Redis(url);
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
};

/** Returns the names of all keys with a prefix. */
export const keysOf = (url: string, prefix: string): Promise<string[]> =>
  onRedis(url, (redis) => redis.keys(`${prefix}:*`));

/** Returns everything that Redis stores under a prefix, as text. */
export const allText = (url: string, prefix: string): Promise<string> =>
  onRedis(url, async (redis) => {
    const keys = await redis.keys(`${prefix}:*`);
    const dumps = await Promise.all(keys.map(async (key) => [key, await valueOf(redis, key)]));
    return JSON.stringify(dumps);
  });

const valueOf = async (redis: Redis, key: string): Promise<unknown> => {
  const type = await redis.type(key);
  switch (type) {
    case 'hash':
      return redis.hgetall(key);
    case 'zset':
      return redis.zrange(key, '0', '-1');
    case 'list':
      return redis.lrange(key, 0, -1);
    case 'set':
      return redis.smembers(key);
    case 'stream':
      return redis.xrange(key, '-', '+');
    case 'string':
      return redis.get(key);
    case 'none':
      return undefined;
    default:
      throw new Error(`Unexpected type ${type}`);
  }
};

/** Removes all keys with a prefix. */
export const removeKeys = (url: string, prefix: string): Promise<void> =>
  onRedis(url, async (redis) => {
    const keys = await redis.keys(`${prefix}:*`);
    for (let from = 0; from < keys.length; from += 1_000) await redis.unlink(...keys.slice(from, from + 1_000));
  });

export { eventually as until } from '@rekey/testing';

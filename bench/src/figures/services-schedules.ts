import { BullJobs } from '@rekey/adapters/bullmq';
import type { EventStore, Position } from '@rekey/ports';
import { Redis } from 'ioredis';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { figure, type BenchContext } from '../bench';
import { givenUrl, startEngine, type EngineName } from '../engines';
import { busyMs } from '../load';
import type { RekeyServer } from '../processes';
import type { Figure } from '../report';
import { seedStore } from '../seed';
import { Services } from '../services';

/** Engines that it does not go without. */
export const SCHEDULES_ENGINES: readonly EngineName[] = ['kafka', 'redis'];

const SECRETS_PER_APPLICATION = 4;
const MINUTE_MS = 60_000;
/** Secrets end between so long after the beginning: within an hour, after the measurement, and within the watcher's horizon. */
const EXPIRE_FROM_MS = 20 * MINUTE_MS;
const EXPIRE_UNTIL_MS = 59 * MINUTE_MS;
/** Notices fall due so long after the watcher's start: for the making of jobs, which is given so many milliseconds each. */
const DUE_AFTER_MS = 20_000;
const JOB_MS_MAX = 0.5;
const MINUTES = 2;
/** Of expiries, and of notices by the log. */
const QUEUES = ['expiry', 'notices.log'] as const;
const READ_AT_ONCE = 5_000;
const MIB = 2 ** 20;

/**
 * Secrets that all end within the same hour: each has a job for its notice, all of which fall due in the same second, and
 * one for its expiry. How long until all are in Redis, what holds how much memory, and how many notices a minute are
 * sent, recorded by commands over Kafka. Views lie in SQLite.
 */
export async function* measureSchedules(context: BenchContext, secrets: number): AsyncGenerator<Figure[]> {
  const { say } = context;
  const folder = path.join(context.folder, 'schedules');
  say(`schedules: starting ${SCHEDULES_ENGINES.join(', ')}, filling a store with ${secrets} secrets`);
  const kafka = startEngine(context.root, 'kafka', folder);
  const redis = startEngine(context.root, 'redis', folder);
  const urls = { kafka: kafka.url, redis: redis.url, eventstore: givenUrl('eventstore') };
  const services = new Services({ apps: context.apps, folder, urls });
  const link = new Redis(redis.url);
  const jobs = BullJobs.open({ url: redis.url, prefix: services.name, report: (_facts, text) => say(`  ${text}`) });
  try {
    await services.createTopics();
    const seededMs = Date.now();
    const step = (EXPIRE_UNTIL_MS - EXPIRE_FROM_MS) / secrets;
    const expiresAt = (secret: number): string => new Date(seededMs + EXPIRE_FROM_MS + secret * step).toISOString();
    const head = await services.withStore(async (store) => {
      await seedStore(store, { secrets, secretsPerApplication: SECRETS_PER_APPLICATION, usable: 1, expiresAt });
      return store.head();
    });
    say('  building the views');
    const projector = await services.start('projector');
    const commandService = await services.start('command-service');
    const emptyBytes = await usedBytes(link);
    const dueMs = Math.ceil((Date.now() + DUE_AFTER_MS + secrets * QUEUES.length * JOB_MS_MAX) / 1_000) * 1_000;
    // It is ready when it has looked through the schedule: then every job is there.
    const watcher = await services.start('expiry-watcher', { notifications: noticesAt(dueMs), notifiers: LOG_ONLY });
    const madeMs = watcher.readyAfterMs;
    if (Date.now() > dueMs) throw new Error('Notices fell due before all jobs were there: give --schedules less.');
    for (const queue of QUEUES) {
      const { waiting } = await jobs.counts(queue);
      if (waiting !== secrets) throw new Error(`There are ${waiting} jobs in ${queue}, expected ${secrets}.`);
    }
    say(`  ${secrets * QUEUES.length} jobs after ${Math.round(madeMs / 1000)} s`);
    const jobsBytes = (await usedBytes(link)) - emptyBytes;
    const per = { details: { secrets, jobs: secrets * QUEUES.length } };
    yield [
      figure(
        'schedules.made',
        `${secrets} secrets: start of the watcher → all ${secrets * QUEUES.length} jobs in Redis`,
        's',
        [madeMs / 1000],
        per,
      ),
      figure('schedules.redis', 'memory of Redis for these jobs', 'MiB', [jobsBytes / MIB], per),
      ...memoryOf('after the jobs were made', 'made', { watcher, projector }),
    ];

    await sleep(dueMs - Date.now());
    say(`  notices are due; counting for ${MINUTES} minutes`);
    const servers = { watcher, 'command-service': commandService, projector };
    const parts = { ...servers, kafka, redis };
    const before = cpuOf(parts);
    await sleep(MINUTES * MINUTE_MS);
    const after = cpuOf(parts);
    const left = await jobs.counts('notices.log');
    const memory = memoryOf('at most', 'peak', servers);
    await services.stop();
    const sent = await services.withStore((store) => noticesBy(store, head, dueMs));
    const minutes = Array.from({ length: MINUTES }, (_, minute) => sent[minute] ?? 0);
    const total = minutes.reduce((sum, each) => sum + each, 0);
    const usPer = Object.fromEntries(
      Object.keys(parts).map((part) => [part, (((after.of[part] ?? NaN) - (before.of[part] ?? NaN)) * 1_000) / total]),
    );
    const all = Object.values(usPer).reduce((sum, each) => sum + each, 0);
    const othersCores = (after.busyMs - before.busyMs - (all * total) / 1_000) / (MINUTES * MINUTE_MS);
    say(
      `  processor time per notice in µs: ${Object.entries(usPer)
        .map(([part, us]) => `${part} ${Math.round(us)}`)
        .join(', ')}`,
    );
    yield [
      figure('schedules.notices', 'notices a minute, each recorded by a command, all due at once', '/min', minutes, {
        details: { left: left.waiting + left.running, dead: left.dead, othersCores },
      }),
      figure('schedules.notices.cpu', 'processor time of all services and engines per notice', 'µs', [all], {
        details: usPer,
      }),
      figure('schedules.others', 'other programs meanwhile', 'cores', [Math.max(0, othersCores)]),
      ...memory,
    ];
  } finally {
    await jobs.close();
    link.disconnect();
    await services.stop();
    if (!kafka.own || !redis.own) await services.clean();
    for (const engine of [kafka, redis]) engine.stop();
  }
}

/** One tick a day, at this instant; a day is the only threshold, so that all secrets that end before long have it. */
const noticesAt = (dueMs: number): object => {
  const at = new Date(dueMs);
  const cronExpression = `${at.getUTCSeconds()} ${at.getUTCMinutes()} ${at.getUTCHours()} * * *`;
  return { cronExpression, timezone: 'UTC', expiryThresholds: [1] };
};

const LOG_ONLY = { log: { enabled: true }, ui: { enabled: false } };

const usedBytes = async (redis: Redis): Promise<number> =>
  Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);

const memoryOf = (when: string, name: 'made' | 'peak', servers: Readonly<Record<string, RekeyServer>>): Figure[] =>
  Object.entries(servers).map(([service, server]) => {
    const bytes = name === 'peak' ? server.memoryPeakBytes() : server.memoryBytes();
    return figure(`schedules.${service}.${name}`, `memory of the ${service} ${when}`, 'MiB', [(bytes ?? NaN) / MIB]);
  });

/** Processor time so far, in milliseconds: of all cores without this process, and of each of some parts. */
const cpuOf = (
  parts: Readonly<Record<string, { cpuMs(): number | undefined }>>,
): { busyMs: number; of: Readonly<Record<string, number>> } => {
  const { user, system } = process.cpuUsage();
  const of = Object.fromEntries(Object.entries(parts).map(([part, each]) => [part, each.cpuMs() ?? NaN]));
  return { busyMs: busyMs() - (user + system) / 1_000, of };
};

/** How many notices are on record after a position, by the minute since an instant. */
const noticesBy = async (store: EventStore, from: Position, sinceMs: number): Promise<number[]> => {
  const minutes: number[] = [];
  for (let after = from; ;) {
    const events = await store.readFeed({ after, limit: READ_AT_ONCE });
    for (const { type, metadata } of events) {
      if (type !== 'ExpiryNoticeSent') continue;
      const minute = Math.floor((Date.parse(String(metadata['occurredAt'])) - sinceMs) / MINUTE_MS);
      minutes[minute] = (minutes[minute] ?? 0) + 1;
    }
    const last = events.at(-1);
    if (!last) return minutes;
    after = last.position;
  }
};

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

/** Required engines. */
export const SCHEDULES_ENGINES: readonly EngineName[] = ['kafka', 'redis'];

const SECRETS_PER_APPLICATION = 4;
const MINUTE_MS = 60_000;
/** The secrets expire in this range: within one hour, after the measurement, and within the horizon of the watcher. */
const EXPIRE_FROM_MS = 20 * MINUTE_MS;
const EXPIRE_UNTIL_MS = 59 * MINUTE_MS;
/** Notices are due this long after the start of the watcher, plus this much per job for creating the jobs. */
const DUE_AFTER_MS = 20_000;
const JOB_MS_MAX = 0.5;
const MINUTES = 2;
/** Queues of the expiries and of the notices by log. */
const QUEUES = ['expiry', 'notices.log'] as const;
const PAGE = 5_000;
const MIB = 2 ** 20;

/**
 * Measures secrets that all expire within one hour. Each has a job for its expiry and one for its notice; all notices are
 * due in the same second. Measures the time until all jobs are in Redis, memory, and notices per minute, each recorded
 * by a command over Kafka. Views are in SQLite.
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
    const head = await seedExpiring(services, secrets);
    say('  building the views');
    const projector = await services.start('projector');
    const commandService = await services.start('command-service');
    const emptyBytes = await usedBytes(link);
    const dueMs = Math.ceil((Date.now() + DUE_AFTER_MS + secrets * QUEUES.length * JOB_MS_MAX) / 1_000) * 1_000;
    // The watcher is ready when it has read the whole schedule, so every job exists then.
    const watcher = await services.start('expiry-watcher', { notifications: noticesAt(dueMs), notifiers: LOG_ONLY });
    if (Date.now() > dueMs) throw new Error('Notices were due before all jobs existed. Use a smaller --schedules.');
    await expectJobs(jobs, secrets);
    const jobsBytes = (await usedBytes(link)) - emptyBytes;
    say(`  ${secrets * QUEUES.length} jobs after ${Math.round(watcher.readyAfterMs / 1000)} s`);
    yield [
      ...jobFigures(secrets, watcher.readyAfterMs, jobsBytes),
      ...memoryOf('after the jobs were made', 'made', { watcher, projector }),
    ];
    const servers = { watcher, 'command-service': commandService, projector };
    const measured = await countNotices(context, jobs, dueMs, { ...servers, kafka, redis });
    const memory = memoryOf('at most', 'peak', servers);
    await services.stop();
    const sent = await services.withStore((store) => noticesBy(store, head, dueMs));
    yield [...noticeFigures(context, measured, sent), ...memory];
  } finally {
    await jobs.close();
    link.disconnect();
    await services.stop();
    if (!kafka.own || !redis.own) await services.clean();
    for (const engine of [kafka, redis]) engine.stop();
  }
}

/** Fills the store with secrets whose expiries are spread evenly. Returns the position of the last event. */
const seedExpiring = (services: Services, secrets: number): Promise<Position> => {
  const seededMs = Date.now();
  const step = (EXPIRE_UNTIL_MS - EXPIRE_FROM_MS) / secrets;
  const expiresAt = (secret: number): string => new Date(seededMs + EXPIRE_FROM_MS + secret * step).toISOString();
  return services.withStore(async (store) => {
    await seedStore(store, { secrets, secretsPerApplication: SECRETS_PER_APPLICATION, usable: 1, expiresAt });
    return store.head();
  });
};

const expectJobs = async (jobs: BullJobs, secrets: number): Promise<void> => {
  for (const queue of QUEUES) {
    const { waiting } = await jobs.counts(queue);
    if (waiting !== secrets) throw new Error(`The queue ${queue} has ${waiting} jobs, expected ${secrets}.`);
  }
};

const jobFigures = (secrets: number, madeMs: number, jobsBytes: number): Figure[] => {
  const count = secrets * QUEUES.length;
  const more = { details: { secrets, jobs: count } };
  const what = `${secrets} secrets: start of the watcher → all ${count} jobs in Redis`;
  return [
    figure('schedules.made', what, 's', [madeMs / 1000], more),
    figure('schedules.redis', 'memory of Redis for these jobs', 'MiB', [jobsBytes / MIB], more),
  ];
};

type Parts = Readonly<Record<string, { cpuMs(): number | undefined }>>;

interface Measured {
  /** CPU time per part during the measurement, in milliseconds. */
  readonly cpuMs: Readonly<Record<string, number>>;
  /** Time that all cores together were busy, without this process. */
  readonly busyMs: number;
  /** Jobs of notices that are left. */
  readonly left: Awaited<ReturnType<BullJobs['counts']>>;
}

/** Waits until the notices are due and then for the measured minutes. */
const countNotices = async ({ say }: BenchContext, jobs: BullJobs, dueMs: number, parts: Parts): Promise<Measured> => {
  await sleep(dueMs - Date.now());
  say(`  notices are due; counting for ${MINUTES} minutes`);
  const before = cpuOf(parts);
  await sleep(MINUTES * MINUTE_MS);
  const after = cpuOf(parts);
  const left = await jobs.counts('notices.log');
  const cpuMs = Object.fromEntries(
    Object.keys(parts).map((part) => [part, (after.of[part] ?? NaN) - (before.of[part] ?? NaN)]),
  );
  return { cpuMs, busyMs: after.busyMs - before.busyMs, left };
};

const noticeFigures = ({ say }: BenchContext, { cpuMs, busyMs, left }: Measured, sent: readonly number[]): Figure[] => {
  const minutes = Array.from({ length: MINUTES }, (_, minute) => sent[minute] ?? 0);
  const total = minutes.reduce((sum, each) => sum + each, 0);
  const usPer = Object.fromEntries(Object.entries(cpuMs).map(([part, ms]) => [part, (ms * 1_000) / total]));
  const all = Object.values(usPer).reduce((sum, each) => sum + each, 0);
  const othersCores = (busyMs - (all * total) / 1_000) / (MINUTES * MINUTE_MS);
  const parts = Object.entries(usPer).map(([part, us]) => `${part} ${Math.round(us)}`);
  say(`  processor time per notice in µs: ${parts.join(', ')}`);
  const details = { left: left.waiting + left.running, dead: left.dead, othersCores };
  const what = 'processor time of all services and engines per notice';
  return [
    figure('schedules.notices', 'notices a minute, each recorded by a command, all due at once', '/min', minutes, {
      details,
    }),
    figure('schedules.notices.cpu', what, 'µs', [all], { details: usPer }),
    figure('schedules.others', 'other programs meanwhile', 'cores', [Math.max(0, othersCores)]),
  ];
};

/** Notification settings with one tick a day, at this instant, and one day as the only threshold. */
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

/** Returns the CPU time so far, in milliseconds: of all cores without this process, and of each part. */
const cpuOf = (parts: Parts): { busyMs: number; of: Readonly<Record<string, number>> } => {
  const { user, system } = process.cpuUsage();
  const of = Object.fromEntries(Object.entries(parts).map(([part, each]) => [part, each.cpuMs() ?? NaN]));
  return { busyMs: busyMs() - (user + system) / 1_000, of };
};

/** Counts the notices recorded after a position, per minute since an instant. */
const noticesBy = async (store: EventStore, from: Position, sinceMs: number): Promise<number[]> => {
  const minutes: number[] = [];
  for (let after = from; ;) {
    const events = await store.readFeed({ after, limit: PAGE });
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

import { MongoClient } from 'mongodb';
import path from 'node:path';
import type { BenchContext } from '../bench';
import { givenUrl, startEngine, type EngineName } from '../engines';
import type { Figure } from '../report';
import { seedStore } from '../seed';
import { Services } from '../services';
import { measureCommands } from './commands';
import { measureRevocation } from './revocation';
import { measureServicesCheck } from './services-check';
import { measureServicesRebuild } from './services-rebuild';
import { measureVisible } from './services-visible';

/** Required engines. */
export const SERVICES_ENGINES: readonly EngineName[] = ['kafka', 'mongodb', 'redis'];

const SECRETS = 1_000;
const SECRETS_PER_APPLICATION = 4;
/** 20,002 events. */
const REBUILT_SECRETS = 16_000;
const REVOCATIONS_MAX = 200;
const BACKGROUND_PER_SECOND = 200;
/** Moderate rate of commands, or on a slow machine this share of its maximum. */
const STEADY_PER_SECOND = 30;
const STEADY_SHARE = 0.3;
/** Milliseconds. */
const REVOKED = { atMost: 150 };

/** Measures one of each service with a second gateway, then rebuilds of the views. */
export async function* measureServices(context: BenchContext, revocations: number): AsyncGenerator<Figure[]> {
  const folder = path.join(context.folder, 'services');
  context.say(`services: starting ${SERVICES_ENGINES.join(', ')}`);
  const kafka = startEngine(context.root, 'kafka', folder);
  const mongodb = startEngine(context.root, 'mongodb', folder);
  const redis = startEngine(context.root, 'redis', folder);
  const engines = [kafka, mongodb, redis];
  if (mongodb.own) context.say('  MongoDB is an emulator in this run: these figures do not describe MongoDB itself');
  const urls = { kafka: kafka.url, mongodb: mongodb.url, redis: redis.url, eventstore: givenUrl('eventstore') };
  const services = new Services({ apps: context.apps, folder, urls });
  const allMs = (): number => engines.reduce((sum, engine) => sum + engine.cpuMs(), services.cpuMs());
  try {
    await services.createTopics();
    const { credentials } = await services.withStore((store) =>
      seedStore(store, { secrets: SECRETS, secretsPerApplication: SECRETS_PER_APPLICATION, usable: SECRETS }),
    );
    const gateway = await services.startAll();
    const place = { uri: mongodb.url, database: services.name };
    const collection = await activeCollection(place, 'authentication');
    yield await measureServicesCheck(context, gateway, credentials, { ...place, collection }, allMs);
    const other = await services.start('gateway');
    yield await measureRevocation(gateway, {
      name: 'services.revoke',
      revocations: Math.min(revocations, REVOCATIONS_MAX),
      background: credentials,
      backgroundPerSecond: BACKGROUND_PER_SECOND,
      checkedAt: other,
      goal: REVOKED,
    });
    const commands = await measureCommands(context, gateway, credentials, { name: 'services.commands', cpuMs: allMs });
    yield commands;
    const most = commands.find(({ name }) => name === 'services.commands.renew')?.value ?? 0;
    const steady = Math.min(STEADY_PER_SECOND, Math.max(1, Math.floor(most * STEADY_SHARE)));
    yield await measureVisible(context, gateway, other, credentials, steady);
    await services.stop();
    yield await measureServicesRebuild(context, mongodb.url, REBUILT_SECRETS, SECRETS_PER_APPLICATION);
  } finally {
    await services.stop();
    if (engines.some(({ own }) => !own)) await services.clean();
    for (const engine of engines) engine.stop();
  }
}

/** Returns the MongoDB collection of the active build of a view. */
const activeCollection = async (
  { uri, database }: { readonly uri: string; readonly database: string },
  view: string,
): Promise<string> => {
  const client = new MongoClient(uri);
  try {
    const pointers = client
      .db(database)
      .collection<{ readonly _id: string; readonly collection: string }>('view-pointers');
    const pointer = await pointers.findOne({ _id: view });
    if (!pointer) throw new Error(`The view ${view} has no active build.`);
    return `view:${pointer.collection}`;
  } finally {
    await client.close();
  }
};

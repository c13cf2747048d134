import { SystemClock } from '@rekey/ports';
import { Projections, Projector, VIEWS, authenticationView, type View } from '@rekey/read-models';
import path from 'node:path';
import { NewerCode } from '../chaos/versions.testing';
import { Client } from '../support/client.testing';
import { OpenStores, differences } from '../support/history.testing';
import { Load, type LoadOptions } from '../support/load.testing';
import { StandaloneProcess } from '../support/standalone.testing';
import { copyViews, dropViews } from './copy.testing';
import { randomOf } from '@rekey/read-models/testing';
import { eventually, temporaryFolder } from '@rekey/testing';

const SENDERS = 5;
const CHECKERS = 4;
/** How long the server waits for an unavailable view. */
const ENV = { REKEY_COMMANDS_WAITTIMEOUTMS: '1000', REKEY_LOGGING_LEVEL: 'warn' };
/** Commands and checks before and after each loss. */
const COMMANDS = 30;
const CHECKS = 60;

const clock = new SystemClock();
const folder = temporaryFolder();
const data = path.join(folder.path, 'data');
let server: StandaloneProcess;
let client: Client;
let load: Load;
let stores: OpenStores;
/** Started by a test in addition to the server. */
const started: { stop(): Promise<void> | void }[] = [];

const start = async (): Promise<void> => {
  server = await StandaloneProcess.start(folder.path, { env: ENV });
  client = new Client(server.url, server.token);
};

const begin = async (more: Partial<LoadOptions> = {}): Promise<void> => {
  load = new Load({ name: 'views', random: (worker) => randomOf(worker), viewsAway: true, ...more });
  load.connect(client);
  await load.createDomains();
  load.start(SENDERS, CHECKERS);
  await goesOn();
};

const checked = (): number => load.counts.admitted + load.counts.refused;

/** Resolves once further commands are settled and further checks answered, so that the system works again. */
const goesOn = async (): Promise<void> => {
  const { settled, counts } = load;
  const until = { settled: settled.length + COMMANDS, checked: checked() + CHECKS, admitted: counts.admitted + 10 };
  await eventually(
    () => settled.length >= until.settled && checked() >= until.checked && counts.admitted >= until.admitted,
  );
  expect(load.problems).toEqual([]);
};

const activeOf = async (view: 'authentication' | 'secrets'): Promise<string | undefined> =>
  (await stores.readModels.pointer(view))?.collection;

/** Sends the first check after a loss. It must not be answered from what is left of the view. */
const probe = async (): Promise<void> => {
  const { counts } = load;
  const before = counts.unavailable;
  await Promise.all(load.values.slice(-CHECKERS).map((value) => load.check(value)));
  await eventually(() => counts.unavailable > before);
};

const project = async (name: string, view: View): Promise<Projector> => {
  const { store, readModels } = stores;
  const projector = new Projector({ store, readModels, clock, name, views: [view] });
  started.push(projector);
  await projector.start();
  return projector;
};

beforeAll(async () => {
  await start();
  stores = await OpenStores.open(data);
});
/** Runs after the load has ended, because the load needs it. */
const stopStarted = async (): Promise<void> => {
  for (const each of started.splice(0)) await each.stop();
};
afterAll(async () => {
  client.close();
  await server.stop();
  await stores.close();
  folder.remove();
});

const end = async (): Promise<void> => {
  await load.stop();
  expect(load.problems).toEqual([]);
};

describe('under load', () => {
  beforeAll(() => begin());
  afterAll(async () => {
    await end().finally(stopStarted);
    expect(await differences(stores)).toEqual([]);
  });

  it('does not answer from dropped views until they are rebuilt', async () => {
    const { readModels } = stores;
    for (const { collection, view } of await readModels.builds())
      if (VIEWS.some(({ name }) => name === view)) await readModels.dropBuild(collection);
    await probe();
    await goesOn();
  });

  it('does not answer from views deleted with their checkpoints and pointers', async () => {
    await dropViews(stores.database);
    await probe();
    await goesOn();
  });

  it('does not answer from views restored from an older copy', async () => {
    const putBack = copyViews(stores.database);
    await goesOn();
    await putBack();
    await probe();
    await goesOn();
  });

  it('does not answer from a single view restored from an older copy', async () => {
    for (const view of ['authentication', 'secrets'] as const) {
      const putBack = copyViews(stores.database, [view]);
      await goesOn();
      await putBack();
      if (view === 'authentication') await probe();
      await goesOn();
    }
  });

  it('does not answer from an older copy restored after a loss', async () => {
    const putBack = copyViews(stores.database);
    await goesOn();
    await dropViews(stores.database);
    await goesOn();
    await putBack();
    await probe();
    await goesOn();
  });

  it('does not answer from an older copy found at start', async () => {
    for (let round = 0; round < 2; round++) {
      const putBack = copyViews(stores.database);
      await goesOn();
      await server.kill();
      await load.stop();
      client.close();
      if (round === 0) await putBack();
      else await dropViews(stores.database);
      await start();
      load.connect(client);
      await Promise.all(load.values.map((value) => load.check(value)));
      await load.retry();
      load.start(SENDERS, CHECKERS);
      await goesOn();
    }
  });

  it('switches to a new build without a gap, and does not answer from an older copy of the previous build', async () => {
    await project('operator', authenticationView);
    const projections = new Projections({ ...stores, clock });
    const putBack = copyViews(stores.database);
    const { unavailable } = load.counts;
    const anew = await projections.rebuild('authentication', 'tests');
    await eventually(async () => (await activeOf('authentication')) === anew);
    await goesOn();
    expect(load.counts.unavailable).toBe(unavailable);
    await putBack();
    await probe();
    await goesOn();
  });
});

describe('a new version of the view', () => {
  afterAll(async () => {
    await end().finally(stopStarted);
  });

  it('takes over without a gap where the code knows it; older code does not answer', async () => {
    const newer = await NewerCode.start(stores, data);
    started.push(newer);
    await begin({ name: 'version', checker: newer.checker, domains: 3 });

    await newer.project();
    await eventually(() => newer.hasTakenOver());
    await goesOn();
    const old = async (): Promise<boolean> => {
      const outcomes = await Promise.all(load.values.slice(-20).map((value) => load.asService(value)));
      return outcomes.every(({ outcome }) => outcome === 'unavailable');
    };
    await eventually(old);
    await goesOn();
    expect(await old()).toBe(true);
    expect(load.counts.unavailable).toBe(0);
  });
});

import { Projections, Projector, VIEWS } from '@rekey/read-models';
import { SystemClock } from '@rekey/ports';
import { randomInt } from 'node:crypto';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../support/client.testing';
import { HistoryReader, OpenStores, differences } from '../support/history.testing';
import { Load } from '../support/load.testing';
import { StandaloneProcess } from '../support/standalone.testing';
import { randomOf } from '@rekey/read-models/testing';
import { eventually, temporaryFolder } from '@rekey/testing';

const ROUNDS = Number(process.env['REKEY_CRASH_ROUNDS'] ?? 15);
const SEED = Number(process.env['REKEY_CRASH_SEED'] ?? randomInt(2 ** 31));
/** Rounds between two comparisons of the views with the history. */
const COMPARE_EVERY = 5;
const SENDERS = 16;
const CHECKERS = 3;
/** Commands of earlier rounds that each round sends again. */
const REPEATS = 5;
/** Ended values that each round checks again. */
const DEAD = 40;
/** Longer than a start takes. */
const START_MS = 1_500;
const LOAD_MS = 800;
const LOAD_COMMANDS = 80;

const folder = temporaryFolder();
const data = path.join(folder.path, 'data');
afterAll(() => folder.remove());

/** Kills the server under load: after a number of settled commands, immediately with the answer or after a delay. */
const killUnderLoad = async (server: StandaloneProcess, load: Load, random: () => number): Promise<void> => {
  const untilCommands = random() < 0.5 ? 1 + Math.floor(random() * LOAD_COMMANDS) : Infinity;
  const untilMs = random() * LOAD_MS;
  const until = load.settled.length + untilCommands;
  load.onSettled = () => {
    if (load.settled.length >= until) void server.kill();
  };
  load.start(SENDERS, CHECKERS);
  await sleep(untilCommands === Infinity ? untilMs : LOAD_MS);
  await server.kill();
  await load.stop();
  load.onSettled = () => undefined;
};

/** Checks all live values and some ended ones. */
const checkValues = async (load: Load, random: () => number): Promise<void> => {
  const living = load.values.filter(({ expected }) => expected !== 'refused');
  const dead = load.values.filter(({ expected }) => expected === 'refused');
  const some = Array.from({ length: Math.min(DEAD, dead.length) }, () => dead[Math.floor(random() * dead.length)]!);
  await Promise.all([...living, ...some].map((value) => load.check(value)));
};

it(
  `keeps every promise through ${ROUNDS} rounds of kill -9 under load`,
  async () => {
    const load = new Load({
      name: `crash-${SEED}`,
      random: (worker) => randomOf(SEED + worker * 7_919),
      applications: 6,
    });
    const history = new HistoryReader();
    const holds = (): void => {
      const problems = [...load.problems, ...history.problems];
      if (problems.length > 0) throw new Error(problems.slice(0, 20).join('\n'));
    };

    for (let round = 0; round <= ROUNDS; round++) {
      const random = randomOf(SEED + round * 104_729);
      try {
        // A start may be killed too; the next start must recover from that.
        if (round > 0 && random() < 0.15) await StandaloneProcess.startAndKill(folder.path, random() * START_MS);
        const server = await StandaloneProcess.start(folder.path);
        const client = new Client(server.url, server.token);
        load.connect(client);
        if (round === 0) await load.createDomains();

        if (round < ROUNDS && random() < 0.15) {
          const killed = sleep(random() * 50).then(() => server.kill());
          await load.retry();
          await killed;
          client.close();
          continue;
        }
        await load.retry();
        const { settled } = load;
        for (let index = 0; index < REPEATS && settled.length > 0; index++)
          await load.repeat(settled[Math.floor(random() * settled.length)]!);
        await checkValues(load, random);
        await history.readNew(client);
        history.judge(load);
        holds();
        if (round % COMPARE_EVERY === 0 || round === ROUNDS) {
          const verified = await client.ask({ method: 'POST', target: '/history/verify' });
          expect(verified.body).toMatchObject({ broken: [] });
          const stores = await OpenStores.open(data);
          expect(await differences(stores)).toEqual([]);
          await stores.close();
        }
        if (round === ROUNDS) await history.compareWhole(client);
        else await killUnderLoad(server, load, random);
        await server.kill();
        client.close();
        holds();
      } catch (error) {
        const again = `REKEY_CRASH_SEED=${SEED} REKEY_CRASH_ROUNDS=${ROUNDS}`;
        throw new Error(`Round ${round} (${again}): ${(error as Error).message}`, { cause: error });
      }
    }

    expect(load.counts.admitted).toBeGreaterThan(ROUNDS * 10);
    expect(load.counts.refused).toBeGreaterThan(ROUNDS * 10);
    expect(load.unsettled).toHaveLength(0);
  },
  60_000 + ROUNDS * 6_000,
);

it('has the same views as a projector that builds them anew', async () => {
  const stores = await OpenStores.open(data);
  const { store, readModels } = stores;
  const clock = new SystemClock();
  const projector = new Projector({ store, readModels, clock, name: 'standalone' });
  const projections = new Projections({ store, readModels, clock });
  const documents = async (collection: string) => {
    const found = await readModels.find(collection, { limit: 1_000_000 });
    return new Map(found.map((document) => [document._id, document]));
  };
  await projector.start();
  for (const { name } of VIEWS) {
    const before = (await readModels.pointer(name))?.collection ?? '';
    const anew = await projections.rebuild(name, 'tests');
    await eventually(async () => (await readModels.pointer(name))?.collection === anew);
    expect(await documents(anew)).toEqual(await documents(before));
  }
  await projector.stop();
  await stores.close();
});

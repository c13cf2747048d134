import { NativeEngine, describeOn, isRequired, type EngineName } from '@rekey/testing';
import { randomInt } from 'node:crypto';
import { ChaosRun } from './run.testing';
import type { Composition } from './world.testing';

const ROUNDS = Number(process.env['REKEY_CHAOS_ROUNDS'] ?? 6);
const SEED = Number(process.env['REKEY_CHAOS_SEED'] ?? randomInt(2 ** 31));
/** The first start may download and compile the engines. */
const START_TIMEOUT_MS = 300_000;
/** Much longer than a round takes; the steps of a round have their own time limits. */
const ROUND_TIMEOUT_MS = 120_000;
const END_TIMEOUT_MS = 600_000;

/** Tests the guarantees of one composition under faults. */
const holdsThroughChaos = (composition: Composition): void => {
  let run: ChaosRun;
  beforeAll(async () => {
    run = await ChaosRun.start({ composition, seed: SEED, rounds: ROUNDS });
  }, START_TIMEOUT_MS);
  afterAll(() => run?.remove(), END_TIMEOUT_MS);

  it(
    `keeps its guarantees through ${ROUNDS} rounds of faults under load`,
    async () => {
      for (let round = 1; round <= ROUNDS; round++) {
        const { faults, lastedMs, recoveredAfterMs } = await run.round(round);
        const times = `lasted ${lastedMs} ms, recovered ${recoveredAfterMs} ms later`;
        process.stdout.write(`Round ${round}: ${faults.join(' and ')}, ${times}\n`);
      }
      process.stdout.write(`${run.report}\n`);
      expect(run.load.counts.admitted).toBeGreaterThan(ROUNDS * 5);
      expect(run.load.counts.refused).toBeGreaterThan(ROUNDS * 5);
      expect(run.load.unsettled).toHaveLength(0);
    },
    START_TIMEOUT_MS + ROUNDS * ROUND_TIMEOUT_MS,
  );

  const part = (what: string, work: () => Promise<void>): void => it(what, () => run.part(what, work), END_TIMEOUT_MS);

  part('has an unchanged history and views that match it', () => run.endLoad());
  part('has sent every due notice and recorded each once', () => run.checks.compareNotices());
  part('has the same views as embedded stores with the same history', () => run.checks.compareCopy());
  part('answers no check with code that does not know the version of the view', () => run.takeOver());
};

/** Tests that start engines of their own. Reported as skipped if this machine cannot start one. */
const describeOnOwn = (name: string, engines: readonly EngineName[], tests: () => void): void => {
  const missing = engines.filter((engine) => !NativeEngine.isAvailable(engine));
  const required = missing.filter(isRequired);
  if (required.length > 0)
    throw new Error(`REKEY_REQUIRE names engines that this machine cannot start: ${required.join(', ')}.`);
  describe(name, () => {
    if (missing.length === 0) return tests();
    const why = `this machine cannot start ${missing.join(', ')}`;
    process.stderr.write(`Skipped: chaos ${name}, because ${why}.\n`);
    it.skip(`skipped: ${why}`, () => undefined);
  });
};

const SERVICES = { projector: 2, 'command-service': 2, 'expiry-watcher': 2, gateway: 2 } as const;
const ENGINES = ['kafka', 'mongodb', 'redis'] as const;

describe('chaos', () => {
  describeOnOwn('with the four services, two of each', ENGINES, () =>
    holdsThroughChaos({ apps: SERVICES, engines: ENGINES }),
  );
  describe('on a real EventStoreDB', () =>
    describeOn(['eventstore'], ({ eventstore }) => {
      describe('in standalone', () => holdsThroughChaos({ apps: { standalone: 1 }, engines: [], eventstore }));
      describeOnOwn('with the four services, two of each', ENGINES, () =>
        holdsThroughChaos({ apps: SERVICES, engines: ENGINES, eventstore }),
      );
    }));
});

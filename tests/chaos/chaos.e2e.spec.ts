import { NativeEngine, describeOn, isRequired, type EngineName } from '@rekey/testing';
import { randomInt } from 'node:crypto';
import { ChaosRun } from './run.testing';
import type { Composition } from './world.testing';

const ROUNDS = Number(process.env['REKEY_CHAOS_ROUNDS'] ?? 6);
const SEED = Number(process.env['REKEY_CHAOS_SEED'] ?? randomInt(2 ** 31));
/** Engines of our own may have to be fetched and compiled first. */
const START_TIMEOUT_MS = 300_000;
/** Much longer than a round takes: what has to be quick is timed within it. */
const ROUND_TIMEOUT_MS = 120_000;
const END_TIMEOUT_MS = 600_000;

/** What must hold (design §11, points 1 to 5) of a composition. */
const holdsThroughChaos = (composition: Composition): void => {
  let run: ChaosRun;
  beforeAll(async () => {
    run = await ChaosRun.start({ composition, seed: SEED, rounds: ROUNDS });
  }, START_TIMEOUT_MS);
  afterAll(() => run?.remove(), END_TIMEOUT_MS);

  it(
    `keeps every promise through ${ROUNDS} rounds of faults under load`,
    async () => {
      for (let round = 1; round <= ROUNDS; round++) {
        const { faults, lastedMs, wholeAfterMs } = await run.round(round);
        const told = `${faults.join(', and ')}, ${lastedMs} ms: whole after ${wholeAfterMs} ms more`;
        process.stdout.write(`Round ${round}: ${told}\n`);
      }
      process.stdout.write(`${run.report}\n`);
      expect(run.load.counts.admitted).toBeGreaterThan(ROUNDS * 5);
      expect(run.load.counts.refused).toBeGreaterThan(ROUNDS * 5);
      expect(run.load.unsettled).toHaveLength(0);
    },
    START_TIMEOUT_MS + ROUNDS * ROUND_TIMEOUT_MS,
  );

  const holds = (what: string, work: () => Promise<void>): void =>
    it(what, () => run.holding(what, work), END_TIMEOUT_MS);

  holds('has a history that nobody has changed, and views that equal it', () => run.endLoad());
  holds('has sent every notice that is due, and recorded each once', () => run.judgeNotices());
  holds('comes to the same state on embedded stores', () => run.compareCopy());
  holds('answers no check by code that does not know the version of its view', () => run.takeOver());
};

/** Tests that need native engines of their own: where one cannot be had, they are reported as not run. */
const describeOnOwn = (name: string, engines: readonly EngineName[], tests: () => void): void => {
  const missing = engines.filter((engine) => !NativeEngine.isToBeHad(engine));
  const required = missing.filter(isRequired);
  if (required.length > 0) throw new Error(`Required, and not to be had to be killed: ${required.join(', ')}.`);
  describe(name, () => {
    if (missing.length === 0) return tests();
    const why = `there is no native ${missing.join(', no native ')} to be had`;
    process.stderr.write(`Not run: chaos ${name}, for ${why}.\n`);
    it.skip(`not run: ${why}`, () => undefined);
  });
};

const SERVICES = { projector: 2, 'command-service': 2, 'expiry-watcher': 2, gateway: 2 } as const;
const ENGINES = ['kafka', 'mongodb', 'redis'] as const;

describe('chaos', () => {
  describeOnOwn('among four services, two of each', ENGINES, () =>
    holdsThroughChaos({ apps: SERVICES, engines: ENGINES }),
  );
  describe('on a real EventStoreDB', () =>
    describeOn(['eventstore'], ({ eventstore }) => {
      describe('in standalone', () => holdsThroughChaos({ apps: { standalone: 1 }, engines: [], eventstore }));
      describeOnOwn('among four services, two of each', ENGINES, () =>
        holdsThroughChaos({ apps: SERVICES, engines: ENGINES, eventstore }),
      );
    }));
});

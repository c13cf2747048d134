import { NativeEngine, type EngineName } from '@rekey/testing';
import { randomInt } from 'node:crypto';
import { ChaosRun, type Composition } from './chaos-run.testing';

const ROUNDS = Number(process.env['REKEY_CHAOS_ROUNDS'] ?? 6);
const SEED = Number(process.env['REKEY_CHAOS_SEED'] ?? randomInt(2 ** 31));

const chaos = (composition: Composition): void => {
  let run: ChaosRun;
  beforeAll(async () => {
    run = await ChaosRun.start({ composition, seed: SEED, rounds: ROUNDS });
  });
  afterAll(() => run?.remove());

  it(`keeps every promise through ${ROUNDS} rounds of faults under load`, async () => {
    for (let round = 1; round <= ROUNDS; round++) await run.round(round);
    console.log(run.reports, run.load.counts, run.load.settled.length, run.history.events.length);
  }, 120_000 + ROUNDS * 60_000);
};

const COMPOSITIONS: Readonly<Record<string, Composition>> = {
  'as standalone on MongoDB': { apps: { standalone: 1 }, engines: ['mongodb'] },
};

for (const [name, composition] of Object.entries(COMPOSITIONS)) describe(name, () => chaos(composition));
void NativeEngine;
export type X = EngineName;
